import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { createConnect, type Connect } from './connect.ts'

const connected = (connect: Connect, url: string) =>
  new Promise<Socket>((resolve, reject) => connect(new URL(url), (error, socket) => (error === null ? resolve(socket) : reject(error))))

test('a connection that nobody accepts is given up in time, under a code of its own', async () => {
  // Answers as a network does in which packets are lost: never.
  const connect = createConnect({ timeout: 30, allowH2: false, lookup: () => {} })
  await assert.rejects(connected(connect, 'http://backend.example.com:1'), { code: 'CONNECT_TIMEOUT' })
})

test('what refuses is told at once, and as what it was', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  await assert.rejects(connected(createConnect({ timeout: 10_000, allowH2: false }), `http://127.0.0.1:${port}`), { code: 'ECONNREFUSED' })
})

test('an address of IPv6 is one, brackets or not', async (t) => {
  const server = createServer((socket) => socket.end()).listen(0, '::1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const socket = await connected(createConnect({ timeout: 10_000, allowH2: false }), `http://[::1]:${port}`)
  assert.equal(socket.remoteAddress, '::1')
  socket.destroy()
})

test('an error after the connection was handed over is no crash, and is not told again', async (t) => {
  const server = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  let told = 0
  const socket = await new Promise<Socket>((resolve, reject) => createConnect({ timeout: 10_000, allowH2: false })(new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), (error, open) => {
    told++
    if (error === null) resolve(open)
    else reject(error)
  }))
  const closed = new Promise((resolve) => { socket.once('close', resolve) })
  socket.destroy(new Error('reset'))
  await closed
  assert.equal(told, 1)
})
