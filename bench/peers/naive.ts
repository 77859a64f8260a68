import { createSecretKey } from 'node:crypto'
import { Agent } from 'node:http'
import express from 'express'
import httpProxy from 'http-proxy'
import jwt from 'jsonwebtoken'
import { Counter, Histogram, Registry } from 'prom-client'

/**
 * The gateway that a team writes in a week: Express, http-proxy, jsonwebtoken, a bucket for each caller, prom-client.
 * The secret is a KeyObject: as a string, jsonwebtoken tries to read it as a public key for each request first.
 */
const key = createSecretKey(Buffer.from('a secret of the benchmark, of 256 bits or more'))
const token = jwt.sign({ sub: 'bench' }, key, { expiresIn: '1h' })

const app = express()
const registry = new Registry()
const labelNames = ['route', 'status']
const requests = new Counter({ name: 'requests_total', help: 'requests', labelNames, registers: [registry] })
const duration = new Histogram({ name: 'duration_seconds', help: 'durations', labelNames, registers: [registry] })
const buckets = new Map<string, { tokens: number; at: number }>()
const [rate, burst] = [1_000_000, 1_000_000]

app.use((_request, response, next) => {
  const end = duration.startTimer()
  response.on('finish', () => {
    const labels = { route: 'infer', status: String(response.statusCode) }
    requests.inc(labels)
    end(labels)
  })
  next()
})

app.use((request, response, next) => {
  try {
    // The load generator sends no token, so that all proxies get the same bytes: everybody has this one.
    const [, sent] = (request.headers.authorization ?? `Bearer ${token}`).split(' ')
    response.locals['subject'] = jwt.verify(sent ?? '', key).sub
    next()
  } catch {
    response.status(401).end()
  }
})

app.use((_request, response, next) => {
  const subject = String(response.locals['subject'])
  const now = Date.now()
  let bucket = buckets.get(subject)
  if (!bucket) buckets.set(subject, (bucket = { tokens: burst, at: now }))
  bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * rate)
  bucket.at = now
  if (bucket.tokens < 1) response.status(429).end()
  else {
    bucket.tokens--
    next()
  }
})

const proxy = httpProxy.createProxyServer({ target: process.argv[2] ?? '', agent: new Agent({ keepAlive: true, maxSockets: 256 }) })
proxy.on('error', (_error, _request, response) => {
  response.destroy()
})
app.use((request, response) => proxy.web(request, response))
const server = app.listen(0, '127.0.0.1', () => console.log(JSON.stringify(server.address())))
process.once('disconnect', () => process.exit())
