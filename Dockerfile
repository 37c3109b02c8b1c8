# Images. The workers of a Beam pipeline (docs/build_data.md):
#   docker build --target beam-worker --tag HOST/tinygin-worker .
# The versions of Python and Beam are those of requirements.txt.

FROM python:3.11-slim AS beam-worker
COPY --from=apache/beam_python3.11_sdk:2.77.0 /opt/apache/beam /opt/apache/beam
COPY requirements.txt /tmp/
RUN pip install --no-cache-dir --require-hashes --requirement /tmp/requirements.txt \
 # Buckets (gs://) and Dataflow need more than the lock has.
 && pip install --no-cache-dir 'apache-beam[gcp]==2.77.0'
COPY tinygin /opt/tinygin/tinygin
COPY beam_pipelines /opt/tinygin/beam_pipelines
ENV PYTHONPATH=/opt/tinygin TF_CPP_MIN_LOG_LEVEL=2
ENTRYPOINT ["/opt/apache/beam/boot"]
