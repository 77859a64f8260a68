// The Kubernetes path of README.md and docs/kubernetes.md: their own commands and manifests, on a real control plane, with
// the chart's Pods as processes and mutual TLS between them.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { inBash } from '../bash.ts'
import { startControlPlane } from './control-plane.ts'
import type { ControlPlane } from './control-plane.ts'
import { startKubelet } from './kubelet.ts'
import type { Kubelet } from './kubelet.ts'
import { models } from './models.ts'
import { outsideNamespace } from './netns.ts'
import { until } from './wait.ts'

const root = join(import.meta.dirname, '../..')
const guide = readFileSync(join(root, 'docs/kubernetes.md'), 'utf8')
const readme = readFileSync(join(root, 'README.md'), 'utf8')

/** The code blocks of a language below a heading, in order. */
function blocks(text: string, heading: string, language: string): string[] {
  const from = text.indexOf(`\n## ${heading}\n`)
  assert.notEqual(from, -1, heading)
  const end = text.indexOf('\n## ', from + 1)
  const section = text.slice(from, end === -1 ? undefined : end)
  return [...section.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map((match) => match[1] ?? '')
}

/** What a reader would type: the lines behind the prompts, with their continuations. */
const typed = (block: string) => block.replaceAll(/^\$ /gm, '')

suite('the chart, installed', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let kubelet: Kubelet
  let folder: string

  /** Runs a script as the guide's reader would, at the root of the repository; files it makes stay out of it. */
  const shell = async (script: string) => {
    const env = { ...process.env, KUBECONFIG: cluster.kubeconfig, PATH: `${folder}/bin:${process.env.PATH ?? ''}` }
    return inBash(script, { cwd: folder, env })
  }
  const proxies = () => kubelet.pods().filter(({ labels }) => labels['modelroute.io/gateway'] === 'default')
  const infer = async (ip: string | undefined, headers: Record<string, string> = {}) => {
    const response = await fetch(`http://${ip}:8080/v2/models/fraud/infer`, {
      method: 'POST', headers,
      body: JSON.stringify({ inputs: [{ name: 'amount', shape: [1], datatype: 'FP32', data: [120] }] }),
    })
    const body = await response.text()
    assert.equal(response.status, 200, body)
    return (JSON.parse(body) as { model_version: string }).model_version
  }
  /** How many of a hundred requests version 2 answers. */
  const share = async () => {
    const ip = proxies()[0]?.ip
    let canary = 0
    for (let i = 0; i < 100; i++) if (await infer(ip) === '2') canary++
    return canary
  }

  before(async () => {
    cluster = await startControlPlane({ controllerManager: true })
    kubelet = await startKubelet(cluster)
    folder = mkdtempSync(join(cluster.folder, 'reader-'))
    await promisify(execFile)('mkdir', [join(folder, 'bin')])
    symlinkSync(join(root, 'charts'), join(folder, 'charts'))
    for (const program of [cluster.binaries.helm, cluster.binaries.kubectl]) {
      symlinkSync(program, join(folder, 'bin', program.slice(dirname(program).length + 1)))
    }
    await cluster.apply(models())
  })
  after(async () => {
    await kubelet?.stop()
    await cluster?.stop()
  })

  test('certificates made as the guide says carry the push channel', async () => {
    const [openssl = ''] = blocks(guide, 'The push channel', 'bash')
    const [install = ''] = blocks(guide, 'The push channel', 'console')
    const [, wait = ''] = typed(blocks(guide, 'Install', 'console')[0] ?? '').trim().split('\n')
    assert.match(wait, /^kubectl .* wait/)
    await shell(openssl)
    await shell(typed(install))
    await shell(wait).catch(async (error: Error) => assert.fail(`${error.message}\n${await kubelet.describe()}`))
    const ready = await cluster.kubectl('-n', 'modelroute', 'get', 'deploy', 'modelroute-gateway-default', '-o', 'jsonpath={.status.readyReplicas}')
    assert.equal(ready, '2')
  })

  test("the README's route is programmed and splits the traffic", async () => {
    const [manifest = ''] = blocks(readme, 'On Kubernetes', 'yaml')
    await cluster.kubectl('apply', '-f', '-', { stdin: manifest })
    await cluster.kubectl('-n', 'ml', 'wait', '--for=condition=Programmed', '--timeout=20s', 'modelroute/fraud')
    const canary = await share()
    assert.ok(canary >= 4 && canary <= 6, `${canary} of 100, where 5 are meant`)
  })

  test("the guide's patch moves the weights on every proxy", async () => {
    const [patch = ''] = blocks(guide, 'A canary by weight edits', 'bash')
    await shell(patch)
    await until('the new weights to be programmed', async () => {
      const route = JSON.parse(await cluster.kubectl('-n', 'ml', 'get', 'modelroute', 'fraud', '-o', 'json')) as {
        metadata: { generation: number }
        status: { weights: string, conditions: { type: string, status: string, observedGeneration: number }[] }
      }
      const programmed = route.status.conditions.find(({ type }) => type === 'Programmed')
      return programmed?.status === 'True' && programmed.observedGeneration === route.metadata.generation &&
        route.status.weights === 'infer: stable=75 canary=25'
    })
    const canary = await share()
    assert.ok(canary >= 24 && canary <= 26, `${canary} of 100, where 25 are meant`)
    assert.match(await cluster.kubectl('-n', 'ml', 'get', 'mr'), /stable=75 canary=25/)
  })

  test('a peer without a certificate of the release gets nothing from the push port', async () => {
    const controller = kubelet.pods().find(({ labels }) => labels['app.kubernetes.io/component'] === 'controller')
    const name = 'modelroute-controller.modelroute.svc'
    const attempt = (...more: string[]) => promisify(execFile)('curl', [
      '--silent', '--show-error', '--http2', '--max-time', '5', '--cacert', join(folder, 'ca.crt'),
      '--resolve', `${name}:9902:${controller?.ip}`, ...more, `https://${name}:9902/`,
    ])
    await assert.rejects(attempt(), /curl: \(\d+\)/)
    const stranger = join(folder, 'stranger')
    await shell(`openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=proxy -keyout ${stranger}.key -out ${stranger}.crt`)
    await assert.rejects(attempt('--cert', `${stranger}.crt`, '--key', `${stranger}.key`), /curl: \(\d+\)/)
    // A GET is no stream, which only somebody who was let in is told.
    const { stdout } = await attempt('--cert', join(folder, 'proxy.crt'), '--key', join(folder, 'proxy.key'), '--write-out', '%{http_code}')
    assert.match(stdout, /404$/)
  })

  test('an upgrade, even to a plain channel, replaces every pod without a failed request', async () => {
    let failed = 0
    let sent = 0
    const done = new AbortController()
    const load = (async () => {
      while (!done.signal.aborted) {
        // As a Service does: whoever is ready at this moment.
        const slices = await cluster.api.list('/apis/discovery.k8s.io/v1/namespaces/modelroute/endpointslices')
        const ready = slices.filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === 'modelroute-gateway-default')
          .flatMap((slice) => slice['endpoints'] as { addresses: string[], conditions: { ready: boolean } }[] ?? [])
          .filter(({ conditions }) => conditions.ready)
        sent++
        await infer(ready[sent % ready.length]?.addresses[0]).catch(() => failed++)
      }
    })()
    const before = new Set(proxies().map(({ name }) => name))
    try {
      await cluster.helm('upgrade', 'modelroute', join(root, 'charts/modelroute'), '-n', 'modelroute', '--wait', '--timeout', '120s',
        '--set', 'certificates.issuer=none,gatewayDefaults.drain.delaySeconds=1')
      await until('the old proxies to be gone', () => proxies().every(({ name }) => !before.has(name)), { timeout: 60_000 })
    } finally {
      done.abort()
      await load
    }
    assert.ok(sent > 100, `${sent} requests`)
    assert.equal(failed, 0, `${failed} of ${sent} requests failed`)
    await cluster.kubectl('-n', 'ml', 'wait', '--for=condition=Programmed', '--timeout=20s', 'modelroute/fraud')
  })

  test('uninstalling keeps the definitions, and with them the routes', async () => {
    const [commands = ''] = blocks(guide, 'Upgrade and uninstall', 'console')
    const [uninstall = '', remove = ''] = typed(commands).trim().split('\n')
    await shell(uninstall)
    assert.match(await cluster.kubectl('-n', 'ml', 'get', 'modelroutes', '-o', 'name'), /fraud/)
    await shell(remove)
    await assert.rejects(cluster.kubectl('-n', 'ml', 'get', 'modelroutes'), /doesn't have a resource type|could not find the requested resource/)
  })
})
