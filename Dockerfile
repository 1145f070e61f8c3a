# Builds Codeyard and puts it, alone with what it calls, into a small image.

FROM rust:1.95-slim-bookworm AS build
# Grammars and SQLite are C and C++.
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin codeyard && cp target/release/codeyard /codeyard

FROM debian:bookworm-slim
# git fetches repositories, inside of what bubblewrap confines.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bubblewrap ca-certificates git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --home-dir /var/lib/codeyard --create-home --shell /usr/sbin/nologin codeyard
COPY --from=build /codeyard /usr/local/bin/codeyard
USER codeyard
WORKDIR /var/lib/codeyard
ENV CODEYARD_SERVER_LISTEN=0.0.0.0:8080 \
    CODEYARD_DATA_DIR=/var/lib/codeyard
VOLUME /var/lib/codeyard
EXPOSE 8080
# The server drains on SIGTERM; give it more time than Docker's ten seconds (README, "Docker").
STOPSIGNAL SIGTERM
# Asks over a socket of bash's own, so that no further program need be installed.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /health/ready HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["codeyard"]
CMD ["serve"]
