# The gateway alone: its database and its Lightning node run elsewhere. See docker-compose.yml.
FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# What is optional is Node itself, which the image has, the embedded PostgreSQL, and a chain for tests: it uses neither.
RUN npm ci --omit=dev --omit=optional --no-audit --no-fund

FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8402
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json LICENSE ./
COPY migrations migrations
COPY views views
COPY docs docs
COPY src src
USER node
EXPOSE 8402
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Without a shell or npm in between, so that SIGTERM reaches the gateway.
# The options are those of `npm start`.
CMD ["node", "--min-semi-space-size=16", "--no-allocation-site-pretenuring", "src/server.ts"]
