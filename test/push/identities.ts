import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { loadIssue } from '../../controller/certificates/load.ts'

const folder = mkdtempSync(join(tmpdir(), 'modelroute-identities-'))
after(() => rmSync(folder, { recursive: true }))

/** Certificates as the controller itself makes them, all of one authority, as files. */
export async function identities() {
  const { issueAuthority, issueProxy, issueServer, issueSidecar } = await loadIssue()
  const now = new Date()
  const pair = await issueAuthority('modelroute', now)
  const authority = { pair, certificate: new X509Certificate(pair.cert), key: createPrivateKey(pair.key), trusted: pair.cert }
  const write = (name: string, { cert, key }: typeof pair) => {
    const base = join(folder, name)
    writeFileSync(`${base}.crt`, cert)
    writeFileSync(`${base}.key`, key)
    return { cert: `${base}.crt`, key: `${base}.key` }
  }
  const ca = write('ca', pair).cert
  return {
    ca,
    asController: write('controller', await issueServer(authority, ['localhost'], now)),
    asProxy: { ...write('proxy', await issueProxy(authority, 'proxy-1', 'controller-proxy.gateway.svc', now)), ca },
    asSidecar: async (namespace: string) => ({ ...write(namespace, await issueSidecar(authority, 's', namespace, now)), ca }),
  }
}
