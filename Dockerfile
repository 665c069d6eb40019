# One image for every size of deployment, on amd64 and arm64. Nothing of the embedded mode and of the tests is in it.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /app
COPY requirements/uv.txt requirements/runtime.txt requirements/
# The secrets are optional: where to install from, and whose certificates to believe. No layer keeps them, nor the installers.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    --mount=type=secret,id=ca.crt \
    python3 -m pip install --quiet --no-cache-dir --no-compile --disable-pip-version-check --root-user-action ignore \
    --only-binary :all: --require-hashes --requirement requirements/uv.txt --target /uv \
    && python3 -m venv --without-pip .venv \
    && SSL_CERT_FILE=/run/secrets/ca.crt /uv/bin/uv pip install --quiet --no-cache --link-mode copy --no-build \
    --require-hashes --requirement requirements/runtime.txt --python .venv/bin/python
# Half of what is installed describes AWS services that nobody calls here; and one library brings its own tests along.
RUN cd .venv/lib/python3*/site-packages \
    && find botocore/data boto3/data -mindepth 1 -maxdepth 1 -type d ! -name cognito-idp ! -name dynamodb ! -name s3 \
    ! -name secretsmanager ! -name sqs ! -name sts -exec rm -r {} + \
    && rm -r google/genai/tests
COPY jobs jobs
COPY consumers consumers
COPY websocket websocket
COPY service service
# Believed without a look at the sources: nothing in an image changes, and its files may bear any time.
RUN .venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash .venv/lib jobs consumers websocket service \
    && rm -r requirements \
    && chmod -R go-w,a+rX .

FROM ${BASE}
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 LOG_FORMAT=json
COPY --from=build /app /app
USER 10001:10001
# Where the root is read-only, Fargate gives a volume in its place the rights that it has here: anybody may write.
VOLUME ["/tmp"]
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
# ECS looks at its task definition instead, which says the same.
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s CMD ["python", "-I", "/app/service/healthcheck.py"]
ENTRYPOINT ["python", "-m", "service"]
CMD ["serve"]
ARG VERSION=
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="Darkroom" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.source="${SOURCE}"
