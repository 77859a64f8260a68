import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { connectLimiter } from '../../dataplane/limits/create.ts'
import type { Limiter, Take } from '../../dataplane/limits/limiter.ts'
import { parseRedisUrl } from '../../dataplane/limits/redis/url.ts'
import { authority as createAuthority } from '../certificates.ts'
import { freePorts } from '../free-ports.ts'
import { patient, startCluster, startRedis, until, type Server } from './servers.ts'
import { startTakers, thousand } from './takers.ts'

const open: Limiter[] = []
const servers: Readonly<{ end(): Promise<void> }>[] = []
const said: string[] = []

async function limiterAt(text: string): Promise<Limiter> {
  const redis = parseRedisUrl(text)
  assert.ok(typeof redis !== 'string')
  const limiter = await connectLimiter({ redis, fleet: 'default', say: (...line) => said.push(JSON.stringify(line)) })
  open.push(limiter)
  return limiter
}
afterEach(async () => {
  for (const limiter of open.splice(0)) await limiter.close()
  for (const server of servers.splice(0)) await server.end()
  said.length = 0
})
const owned = <S extends Readonly<{ end(): Promise<void> }>>(server: S): S => {
  servers.push(server)
  return server
}

const limit = (more: Partial<Take> = {}): Take => thousand({ type: 'FixedWindow', window: 'month' }, 'modes', { amount: 3, ...more })
const admitted = async (limiter: Limiter, take: Take, tries: number) => {
  let count = 0
  for (let i = 0; i < tries; i++) {
    const { by, allowed } = await limiter.take('ml', [take])
    assert.equal(by, 'store', said.join('\n'))
    if (allowed) count++
  }
  return count
}

/** What a user needs who does what the limits do, and nothing else: docs/limits.md has the same. */
const rules = 'on >secret resetkeys ~modelroute:* resetchannels -@all +@connection +info +eval +evalsha +time +mget +get +set +del +hget +hset +hmget +hdel +hlen +hgetall ' +
  '+zadd +zrem +zscore +zcard +zrangebyscore +zremrangebyscore +pexpire'

test('a user with the permissions of the documentation, and no others, is enough', async () => {
  const server = owned(await startRedis(['default off', `proxy ${rules}`, 'root on >root ~* &* +@all'].flatMap((user) => ['--user', ...user.split(' ')]), { auth: ['root', 'root'] }))
  const limiter = await limiterAt(patient(server.url.replace('//', '//proxy:secret@')))
  for (const algorithm of [limit().algorithm, { type: 'SlidingLog', window: 60_000 }, { type: 'Concurrency' }] as const) {
    const held = { ...limit({ algorithm, key: `ml/modes/acl ${algorithm.type}` }), hold: algorithm.type === 'Concurrency' }
    assert.equal(await admitted(limiter, held, 5), 3)
  }
  assert.match(await server.ask('ACL', 'LOG'), /\*0$/)
  const wrong = await limiterAt(server.url.replace('//', '//proxy:wrong@'))
  assert.equal((await wrong.take('ml', [limit()])).unavailable, true)
  assert.doesNotMatch(said.join('\n'), /wrong|secret/)
})

test('over TLS with the certificate of the client, and not with another authority', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'modelroute-tls-'))
  servers.push({ end: () => rm(folder, { recursive: true, force: true }) })
  const [authority, other] = [createAuthority('one'), createAuthority('another')]
  const at = (name: string) => join(folder, name)
  const server = authority.issue('redis', ['redis.example.com'])
  const client = authority.issue('proxy', ['proxy.example.com'])
  await Promise.all(Object.entries({ 'ca.pem': authority.cert, 'other.pem': other.cert, 'server.pem': server.cert, 'server.key': server.key, 'client.pem': client.cert, 'client.key': client.key })
    .map(([name, text]) => writeFile(at(name), text)))
  const [port = 0] = await freePorts(1)
  owned(await startRedis(['--tls-port', String(port), '--tls-cert-file', at('server.pem'), '--tls-key-file', at('server.key'), '--tls-ca-cert-file', at('ca.pem')]))
  const url = (ca: string) => `rediss://127.0.0.1:${port}?ca=${at(ca)}&cert=${at('client.pem')}&key=${at('client.key')}&servername=redis.example.com`
  assert.equal(await admitted(await limiterAt(patient(url('ca.pem'))), limit(), 5), 3)
  assert.equal((await (await limiterAt(url('other.pem'))).take('ml', [limit()])).unavailable, true)
})

test('after the death of the master a sentinel names another, and no more than one in a hundred is admitted beyond', { timeout: 120_000 }, async (t) => {
  const master = await startRedis()
  const replica = owned(await startRedis(['--replicaof', `127.0.0.1 ${master.port}`, '--repl-diskless-sync-delay', '0', '--min-replicas-to-write', '0']))
  await until(async () => (await replica.ask('INFO', 'replication')).includes('master_link_status:up'))
  const folder = await mkdtemp(join(tmpdir(), 'modelroute-sentinel-'))
  servers.push({ end: () => rm(folder, { recursive: true, force: true }) })
  const ports = await freePorts(3)
  const sentinels = await Promise.all(ports.map(async (port, i) => {
    const file = join(folder, `sentinel-${i}.conf`)
    await writeFile(file, `sentinel monitor main 127.0.0.1 ${master.port} 2\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n`)
    return owned(await startRedis(['--sentinel'], { port, file }))
  }))
  await until(async () => (await Promise.all(sentinels.map((each) => each.ask('SENTINEL', 'CKQUORUM', 'main')))).every((text) => text.includes('OK 3')))
  const url = `redis+sentinel://${ports.map((port) => `127.0.0.1:${port}`).join(',')}/main`
  await failover(t, url, limit({ onStoreFailure: 'Local', amount: 1000, key: 'ml/modes/failover FixedWindow' }), { master, replica })
})

/**
 * The master dies while three proxies take. What it did not tell its replica is lost, and nobody's fault: it is read there.
 * @param takeOver called when all of them have noticed
 */
async function failover(t: { diagnostic(text: string): void }, url: string, take: Take, { master, replica, takeOver = async () => {} }: Readonly<{ master: Server; replica: Server; takeOver?: () => Promise<void> }>): Promise<void> {
  const job = { url: patient(url), tenant: 'ml', takes: [take], connections: 20, tries: 500, apart: 100, outage: 60_000 }
  // Every two seconds they hear how many they are.
  const takers = await startTakers([job, job, job], 4500)
  await pause(400)
  await master.end()
  const kept = await replica.used(`modelroute:{ml}:${take.key}`)
  await takers.away
  await takeOver()
  const came = await takers.came
  await takers.end()
  const sum = (of: (each: typeof came[number]) => number) => came.reduce((all, each) => all + of(each), 0)
  const [all, lost] = [sum(({ admitted }) => admitted), Math.max(0, sum(({ before }) => before) - kept)]
  t.diagnostic(`${take.onStoreFailure}: ${all} admitted of 1,000, ${lost} of them lost with the master; ${JSON.stringify(came.map(({ by }) => by))}`)
  assert.ok(all <= 1010 + lost, `${all} admitted`)
  assert.ok(all >= 900, `${all} admitted`)
}

test('the master of one part of a cluster dies: its replica takes over, and the others notice nothing', { timeout: 120_000 }, async (t) => {
  const cluster = owned(await startCluster(1))
  const [master, replica] = await Promise.all([cluster.masterOf('ml'), cluster.replicaOf('ml')])
  const limiter = await limiterAt(patient(cluster.url))
  const elsewhere = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
  let other = ''
  for (const tenant of elsewhere) if (await cluster.masterOf(tenant) !== master) other = tenant
  const load = { over: false, store: 0, failure: 0 }
  const steady = (async () => {
    while (!load.over) {
      const { by } = await limiter.take(other, [limit({ amount: 1_000_000 })])
      assert.ok(by !== 'process')
      load[by]++
      await pause(10)
    }
  })()
  const takeOver = async () => {
    assert.equal(await replica.ask('CLUSTER', 'FAILOVER', 'TAKEOVER'), '+OK')
    await until(async () => (await replica.ask('ROLE')).includes('master'))
  }
  await failover(t, cluster.url, limit({ onStoreFailure: 'Local', amount: 1000, key: 'ml/modes/cluster FixedWindow' }), { master, replica, takeOver })
  load.over = true
  await steady
  assert.ok(load.store > 100 && load.failure === 0, JSON.stringify(load))
})

test('those that wait on three proxies are admitted as places come free, and never more at once than there are', async () => {
  const server = owned(await startRedis())
  const limiters = await Promise.all([1, 2, 3].map(() => limiterAt(patient(server.url))))
  const running = { ...thousand({ type: 'Concurrency' }, 'queue'), amount: 5 }
  let [now, most] = [0, 0]
  await Promise.all(limiters.flatMap((limiter, proxy) => Array.from({ length: 20 }, async (_, i) => {
    const { decision } = await limiter.wait({
      tenant: 'ml', takes: [running], queues: [{ maxWait: 20_000, maxDepth: 100 }], principal: `${proxy} ${i % 3}`, deadline: undefined, onLeave: () => {},
    })
    assert.equal(decision.allowed, true)
    most = Math.max(most, ++now)
    await pause(20)
    now--
    limiter.settle(decision)
  })))
  assert.equal(most, 5)
})

test('a budget goes on after Redis lost its scripts, and is exact while they are loaded again', async () => {
  const server = owned(await startRedis())
  const limiter = await limiterAt(patient(server.url))
  await limiter.take('ml', [limit({ amount: 100 })])
  await server.ask('SCRIPT', 'FLUSH')
  const all = await Promise.all(Array.from({ length: 200 }, async () => limiter.take('ml', [limit({ amount: 100 })])))
  assert.equal(all.filter(({ allowed }) => allowed).length, 99)
})
