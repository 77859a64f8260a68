import { Agent } from 'node:http'
import express from 'express'
import httpProxy from 'http-proxy'

/** The proxy that most people write in Node: Express and http-proxy, with connections kept alive. */
const app = express()
const proxy = httpProxy.createProxyServer({ target: process.argv[2] ?? '', agent: new Agent({ keepAlive: true, maxSockets: 256 }) })
proxy.on('error', (_error, _request, response) => {
  response.destroy()
})
app.use((request, response) => proxy.web(request, response))
const server = app.listen(0, '127.0.0.1', () => console.log(JSON.stringify(server.address())))
process.once('disconnect', () => process.exit())
