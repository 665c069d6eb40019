# One image for every size of deployment. Nothing of the embedded mode is in it.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /app
COPY requirements/runtime.txt requirements/runtime.txt
RUN python3 -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/runtime.txt \
    && .venv/bin/python -m compileall -q .venv/lib

FROM ${BASE}
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 LOG_FORMAT=json
COPY --from=build /app/.venv .venv
COPY jobs jobs
COPY consumers consumers
COPY websocket websocket
COPY service service
USER 10001:10001
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s CMD ["python", "-I", "/app/service/healthcheck.py"]
CMD ["python", "-m", "service"]
