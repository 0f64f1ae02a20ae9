# Berth: `docker build .`. The base can be exchanged where no registry is reachable: --build-arg BASE=….
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS toolchain
COPY deploy/packages/build.txt /tmp/packages
RUN apt-get update \
    && xargs apt-get install -y --no-install-recommends </tmp/packages \
    && rm -rf /var/lib/apt/lists/* /tmp/packages

FROM toolchain AS build
COPY . /src
RUN cd /src \
    && cmake --preset release -DCMAKE_INSTALL_PREFIX=/usr/local \
    && cmake --build --preset release \
    && DESTDIR=/out cmake --install build/release --strip

FROM ${BASE}
COPY deploy/packages/runtime.txt /tmp/packages
RUN apt-get update \
    && xargs apt-get install -y --no-install-recommends </tmp/packages \
    && rm -rf /var/lib/apt/lists/* /tmp/packages \
    && useradd --system --no-create-home --shell /usr/sbin/nologin berth
COPY --from=build /out/ /
ENV BERTH_LISTEN=0.0.0.0:8710
EXPOSE 8710
# Root, because the state directory belongs to root on the host and the engine's socket is root's anyway; the
# gateway, which alone talks to the network, runs as the user berth.
ENTRYPOINT ["/usr/local/bin/berthd"]
CMD ["run"]
