// Starts the language server of tinygin for gin files.
const vscode = require('vscode');
const {LanguageClient} = require('vscode-languageclient/node');

let client;

exports.activate = async (context) => {
  const settings = vscode.workspace.getConfiguration('tinygin');
  const [command, ...args] = settings.get('command');
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  const watcher = vscode.workspace.createFileSystemWatcher('**/*.{gin,py}');
  client = new LanguageClient(
    'tinygin',
    {command, args, options: {cwd: folder?.uri.fsPath}},
    {
      // Other schemes show old versions, for example in comparisons.
      documentSelector: [{scheme: 'file', language: 'gin'}],
      synchronize: {fileEvents: watcher},
    },
  );
  context.subscriptions.push(watcher);
  await client.start();
};

exports.deactivate = () => client?.stop();
