# See docs/containers.md and, for the workers of a pipeline, docs/build_data.md.
# The versions of Python and Beam are those of requirements.txt.

FROM python:3.11-slim AS environment
# cpu or gpu; gpu adds the CUDA libraries, about 4 GB.
ARG DEVICE=cpu
WORKDIR /tinygin
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes --requirement requirements.txt \
 && if [ "$DEVICE" = gpu ]; then \
      pip install --no-cache-dir 'tensorflow[and-cuda]==2.21.0'; \
    fi
COPY tinygin tinygin
COPY beam_pipelines beam_pipelines
ENV PYTHONPATH=/tinygin TF_CPP_MIN_LOG_LEVEL=2 TF_ENABLE_ONEDNN_OPTS=1

FROM environment AS beam-worker
COPY --from=apache/beam_python3.11_sdk:2.77.0 /opt/apache/beam /opt/apache/beam
# Only buckets (gs://) and Dataflow need packages that are not in the lock.
RUN pip freeze > locked.txt \
 && pip install --no-cache-dir --constraint locked.txt 'apache-beam[gcp]==2.77.0'
ENTRYPOINT ["/opt/apache/beam/boot"]

# The last stage is what a build without --target makes.
FROM environment AS tinygin
COPY gin gin
# For users without a home directory.
ENV HOME=/tmp
ENTRYPOINT ["python", "-m"]
CMD ["tinygin.train", "--gin_file=gin/quickstart.gin"]
