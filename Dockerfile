# syntax=docker/dockerfile:1
# One binary in an image without a shell, as a user without rights. Built with nothing but Docker:
#
#     docker build --tag localhost/tidegate:0.1.0 .

FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# What `tidegate --version` says beside the version; the repository itself is not part of the build.
ARG TIDEGATE_COMMIT=
# Both folders outlive the build, so that the next one compiles what has changed.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    # Machines with 64-bit Arm differ in the size of their pages; the largest suits all of them.
    if [ "$(uname -m)" = aarch64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi; \
    cargo build --locked --release --bin tidegate && cp target/release/tidegate /tidegate

# glibc and the certificates of public authorities, no shell and no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /tidegate /usr/bin/tidegate
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 8080 8443 9090
ENTRYPOINT ["/usr/bin/tidegate"]
CMD ["serve"]
