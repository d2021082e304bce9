# asg-mcp on stdio. Build and use:
#   docker build -t asg-mcp .
#   docker run -i --rm -v asg-data:/data asg-mcp
# -i is needed: the client talks on standard input. The store is /data/state.db.
# A glibc base, because the compiled dependencies have wheels for it.
FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY asg_mcp asg_mcp
RUN python -m venv /opt/asg-mcp && /opt/asg-mcp/bin/pip install --no-cache-dir .

FROM python:3.11-slim
COPY --from=build /opt/asg-mcp /opt/asg-mcp
RUN useradd --create-home --uid 10001 asg && install --directory --owner=asg --group=asg --mode=0700 /data
USER asg
ENV ASG_DB=/data/state.db PYTHONUNBUFFERED=1
VOLUME /data
ENTRYPOINT ["/opt/asg-mcp/bin/asg-mcp"]
CMD ["serve"]
