# The image of Dispa: one executable and what it needs, nothing else. docs/QUICKSTART.md says how to run it.
#
#   docker build -t dispa .
#
# Build arguments: DENO_IMAGE is the image that compiles; ROOTFS is a stage, or an image, that has the files of
# the final image in /image, for builders that have the executable already.
ARG DENO_IMAGE=denoland/deno:debian-2.9.6
ARG ROOTFS=build

FROM ${DENO_IMAGE} AS build
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates tzdata \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN deno task compile && sh src/build/rootfs.sh dist/dispa /image

FROM ${ROOTFS} AS files

FROM scratch
COPY --from=files /image/root /
COPY --from=files --chown=65532:65532 /image/config /etc/dispa
COPY --from=files --chown=65532:65532 /image/state /var/lib/dispa
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
  DENO_TLS_CA_STORE=system,mozilla \
  DISPA_CONFIG=/etc/dispa/config.toml
USER 65532:65532
WORKDIR /var/lib/dispa
VOLUME ["/etc/dispa", "/var/lib/dispa"]
EXPOSE 8080 8081 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/usr/bin/dispa", "healthcheck"]
ENTRYPOINT ["/usr/bin/dispa"]
CMD ["run"]
