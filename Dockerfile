# Packs the programs that `cargo static` has put into dist/, one folder an architecture; nothing is built here, and nothing
# else is in the images. Each target is an image of its own: the agent lands on every node, the operator on two.
#
#   buildah build --target agent --build-arg TARGETARCH=amd64 --tag leader-elector/agent:0.1.0 .
#   docker buildx build --target operator --platform linux/amd64 --tag leader-elector/operator:0.1.0 .
#
# The first of them is what the tests run; buildx gives TARGETARCH by itself.

FROM scratch AS agent
ARG TARGETARCH
LABEL org.opencontainers.image.title="leader-elector agent" \
      org.opencontainers.image.description="Contends for one Lease and keeps a status file on the leader's pod" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY dist/${TARGETARCH}/elector-agent /elector-agent
USER 65532:65532
ENTRYPOINT ["/elector-agent"]

FROM scratch AS operator
ARG TARGETARCH
LABEL org.opencontainers.image.title="leader-elector operator" \
      org.opencontainers.image.description="Reconciles LeaderElections into a Lease, RBAC and a status that says who leads" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY dist/${TARGETARCH}/elector-operator /elector-operator
USER 65532:65532
ENTRYPOINT ["/elector-operator"]
