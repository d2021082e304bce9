# asg-mcp in a container; the store is /data/state.db.
#   docker build -t asg-mcp .
# For a client that starts its server (stdio); without -i the client has nobody to talk to:
#   docker run -i --rm -v asg-data:/data asg-mcp
# Over HTTP, with a token, because inside a container everything comes from another machine:
#   docker run --rm -v asg-data:/data asg-mcp token add alice
#   docker run -d -v asg-data:/data -p 127.0.0.1:3001:3001 asg-mcp serve --http --host 0.0.0.0

# Pinned to a minor version and a release of Debian, so that a rebuild brings their security fixes; a build that must be
# the same tomorrow names a digest: --build-arg BASE=python:3.11-slim-bookworm@sha256:...
# A glibc base, because the compiled dependencies have wheels for it.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY asg_mcp asg_mcp
# Compiled here, because the user of the finished image may write nowhere but to /data.
RUN python -m venv /opt/asg-mcp \
    && /opt/asg-mcp/bin/pip install --no-cache-dir --compile . \
    && /opt/asg-mcp/bin/pip uninstall --yes --quiet pip setuptools

FROM ${BASE}
LABEL org.opencontainers.image.title="asg-mcp" \
      org.opencontainers.image.description="Versioned, blameable state for AI agents, served over MCP from one SQLite file." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/asg-mcp /opt/asg-mcp
RUN useradd --create-home --uid 10001 asg \
    && install --directory --owner=asg --group=asg --mode=0700 /data
USER 10001
# ASG_STATE lies in the volume too: what notices an older copy of the store must outlive the container.
ENV ASG_DB=/data/state.db \
    ASG_STATE=/data/state \
    PATH=/opt/asg-mcp/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
VOLUME ["/data"]
EXPOSE 3001
# A server that is process 1 has no default action for SIGTERM over stdio; SIGINT ends it in order, in both ways.
STOPSIGNAL SIGINT
# Over stdio nothing listens, and the client sees by itself whether the server is there.
HEALTHCHECK --interval=30s --timeout=6s --start-period=30s --retries=3 CMD ["python", "-c", "\
from pathlib import Path; from urllib.request import urlopen; \
'--http' in Path('/proc/1/cmdline').read_text().split(chr(0)) and urlopen('http://127.0.0.1:3001/healthz', timeout=5)"]
ENTRYPOINT ["asg-mcp"]
CMD ["serve"]
