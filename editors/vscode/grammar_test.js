// Tests the grammar with VS Code's own engine: npm install && npm test
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const oniguruma = require('vscode-oniguruma');
const textmate = require('vscode-textmate');

// Each line of a gin file, and the parts of it with the ends of their scopes.
const LINES = [
  ["include 'base.gin'  # All.", {
    include: 'keyword.control.import', "base.gin": 'string.quoted.single',
    '# All.': 'comment.line.number-sign',
  }],
  ['import tinygin.models.heads', {
    import: 'keyword.control.import',
    'tinygin.models.heads': 'entity.name.namespace',
  }],
  ['from keras import random as k', {
    from: 'keyword.control.import', keras: 'entity.name.namespace',
    'as k': 'keyword.control.import',
  }],
  ['LEARNING_RATE = -1.5e-3', {
    LEARNING_RATE: 'variable.other.constant', '-1.5e-3': 'constant.numeric',
  }],
  ['a/b/keras.optimizers.Adam.beta_1 = %fast/BETA', {
    'a/b/': 'entity.name.namespace', 'keras.optimizers.Adam': 'entity.name.type',
    beta_1: 'variable.parameter', '=': 'keyword.operator.assignment',
    '%fast/BETA': 'variable.other.constant',
  }],
  ["train.augmentation = [@a/Flip(), True, 'it\\'s', None]", {
    train: 'entity.name.type', augmentation: 'variable.parameter',
    '@a/Flip': 'entity.name.function', True: 'constant.language',
    "\\'": 'constant.character.escape', None: 'constant.language',
  }],
  ['WarmupCosine:  # A block.', {
    WarmupCosine: 'entity.name.type', '# A block.': 'comment.line.number-sign',
  }],
  ['  peak = 3', {
    peak: 'variable.parameter', 3: 'constant.numeric',
  }],
  ["x.y = 'not closed", {"not closed": 'string.quoted.single'}],
  ['x.z = 4', {x: 'entity.name.type', z: 'variable.parameter'}],
];

async function main() {
  const engine = require.resolve('vscode-oniguruma/release/onig.wasm');
  await oniguruma.loadWASM(fs.readFileSync(engine));
  const file = path.join(__dirname, 'syntaxes', 'gin.tmLanguage.json');
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async () =>
      textmate.parseRawGrammar(fs.readFileSync(file, 'utf8'), file),
  });
  const grammar = await registry.loadGrammar('source.gin');
  let stack = textmate.INITIAL;
  for (const [line, expected] of LINES) {
    const {tokens, ruleStack} = grammar.tokenizeLine(line, stack);
    stack = ruleStack;
    for (const [part, scope] of Object.entries(expected)) {
      const start = line.indexOf(part);
      const token = tokens.find(
        (each) => each.startIndex <= start && start < each.endIndex,
      );
      assert.strictEqual(
        token.scopes.at(-1), `${scope}.gin`, `${part} in: ${line}`,
      );
    }
  }
  console.log(`${LINES.length} lines are highlighted as expected.`);
}

main();
