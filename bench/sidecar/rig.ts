import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadIssue } from '../../controller/certificates/load.ts'
import { packaged } from '../packaged.ts'
import { endAll, otherCore, said, start } from '../processes.ts'

export type Listening = Readonly<{ name: string; url: string }>

/** What sidecars need: the compiled package, certificates, a controller with the route of the example, a model server. */
export type Rig = Readonly<{
  /** Of a file in the folder of this run. */
  at: (name: string) => string
  program: string
  /** The flags of a client and of a server. */
  modes: Readonly<{ client: readonly string[]; server: readonly string[] }>
  /** What the route of the server asks of its callers. */
  headers: Readonly<Record<string, string>>
  end(): Promise<void>
}>

const key = 'a-key-of-the-benchmark'
const caller = `
apiVersion: v1
kind: Secret
metadata: {name: caller, namespace: ml, labels: {modelroute.io/credential: api-key}, annotations: {modelroute.io/consumer: bench}}
stringData: {keySha256: ${createHash('sha256').update(key).digest('hex')}}
`

async function certificates(at: Rig['at']): Promise<void> {
  const { issueAuthority, issueServer, issueSidecar } = await loadIssue()
  const now = new Date()
  const pair = await issueAuthority('bench', now)
  const authority = { pair, certificate: new X509Certificate(pair.cert), key: createPrivateKey(pair.key), trusted: pair.cert }
  const write = (name: string, { cert, key }: typeof pair) => {
    writeFileSync(at(`${name}.crt`), cert)
    writeFileSync(at(`${name}.key`), key)
  }
  write('ca', pair)
  write('controller', await issueServer(authority, ['localhost'], now))
  write('sidecar', await issueSidecar(authority, 'sidecar', 'ml', now))
}

export async function startRig(): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-sidecar-'))
  const at = (name: string) => join(folder, name)
  const model = createServer((request, response) => {
    request.resume().once('end', () => response.setHeader('content-type', 'application/json').end('{"outputs":[{"name":"score","datatype":"FP32","shape":[1],"data":[0.5]}]}'))
  })
  const end = async () => {
    model.close()
    await endAll()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    const program = packaged(at('package'))
    await certificates(at)
    mkdirSync(at('routes'))
    copyFileSync(join(import.meta.dirname, '../../examples/sidecar/model-server.yaml'), at('routes/model-server.yaml'))
    writeFileSync(at('routes/caller.yaml'), caller)
    model.listen(0, '127.0.0.1')
    await once(model, 'listening')
    const address = model.address()
    const port = typeof address === 'object' ? address?.port ?? 0 : 0
    /** The flags of a channel's end. */
    const tls = (name: string) => ['--tls-cert', at(`${name}.crt`), '--tls-key', at(`${name}.key`), '--client-ca', at('ca.crt')]
    const controller = start(otherCore, [
      process.execPath, program, 'controller', '-f', at('routes'), '--host', '127.0.0.1', '--push-port', '0', '--control-port', '0', ...tls('controller'), '--sidecar-namespace', 'ml', '--log-level', 'error',
    ])
    const push = await said<Listening>(controller, ({ name }) => name === 'push')
    controller.discard()
    const flags = ['sidecar', ...tls('sidecar'), '--host', '127.0.0.1', '--http-port', '0', '--health-port', '0', '--admin-port', '0']
    const modes = {
      client: [...flags, '--fleet', 'https://localhost:1'],
      server: [...flags, '--inject-mode', 'server', '--inject-port', String(port), '--inject-service', 'fraud', '--gateway', 'guard', '--controller', (push?.url ?? '').replace('127.0.0.1', 'localhost')],
    }
    return { at, program, modes, headers: { 'x-api-key': key }, end }
  } catch (error) {
    await end()
    throw error
  }
}
