# syntax=docker/dockerfile:1
# wsgate alone on a base without a shell: docker build -t wsgate . && docker run -p 8443:8443 --ulimit nofile=131072 wsgate

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo install --locked --path . --root /out && strip /out/bin/wsgate

# glibc rather than musl: the same program as everywhere else is what is tested.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/bin/wsgate /usr/bin/wsgate
COPY packaging/docker.toml /etc/wsgate/gateway.toml
EXPOSE 8443
STOPSIGNAL SIGTERM
# Asks /readyz of the configuration's [admin] listen.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/usr/bin/wsgate", "health", "--config", "/etc/wsgate/gateway.toml"]
ENTRYPOINT ["/usr/bin/wsgate"]
CMD ["--config", "/etc/wsgate/gateway.toml"]
