// What the pages have behind a prompt, because it changes a cluster: typed as it stands there, in the order of the pages, in a
// cluster where each has the case that it is for.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { after, before, suite, test, type TestContext } from 'node:test'
import type { RuleStatus } from '../../crds/types.gen.ts'
import { inBash } from '../bash.ts'
import { blockOf } from '../example.ts'
import { emptyFolder, typedIn } from '../walk.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'
import { portForward } from './forward.ts'
import { startKubelet, type Kubelet } from './kubelet.ts'
import { models } from './models.ts'
import { outsideNamespace } from './netns.ts'
import { until } from './wait.ts'

const root = join(import.meta.dirname, '../..')
const page = (name: string) => readFileSync(join(root, name), 'utf8')
/** The part of a page below a heading. */
const below = (name: string, heading: string) => new RegExp(`^## ${heading}\n([^]*?)(?=^## |$(?![^]))`, 'm').exec(page(name))?.[1] ?? assert.fail(`${name}: ${heading}`)
const route = '/apis/modelroute.io/v1alpha1/namespaces/ml/modelroutes/fraud'

suite('the commands of the pages that change a cluster', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let kubelet: Kubelet
  let folder: string

  before(async () => {
    cluster = await startControlPlane({ controllerManager: true })
    kubelet = await startKubelet(cluster)
    folder = join(cluster.folder, 'reader')
    mkdirSync(folder)
    symlinkSync(join(root, 'charts'), join(folder, 'charts'))
    await cluster.apply(models())
  })
  after(async () => {
    await kubelet?.stop()
    await cluster?.stop()
  })

  /** A reader's shell, one for each command. */
  function shell(t: TestContext, more: NodeJS.ProcessEnv = {}): (command: string) => Promise<string> {
    const { bin, env } = emptyFolder(t)
    for (const program of [cluster.binaries.helm, cluster.binaries.kubectl]) symlinkSync(program, join(bin, basename(program)))
    symlinkSync('modelroute', join(bin, 'kubectl-modelroute'))
    return (command) => inBash(command, { cwd: folder, env: { ...env, KUBECONFIG: cluster.kubeconfig, ...more } })
      .catch(async (error: Error) => assert.fail(`${error.message}\n${await kubelet.describe()}`))
  }
  /** `kubectl port-forward` to a pod of this component, until the test ends. */
  async function forward(t: TestContext, component: string, port: number): Promise<void> {
    const pod = await until(component, () => kubelet.pods().find(({ labels }) => labels['app.kubernetes.io/component'] === component))
    t.after(await portForward(pod.enter, port, port))
  }
  const kubectl = (...args: string[]) => cluster.kubectl(...args, { timeout: 120_000 })
  const rule = async () => ((await cluster.api.get(route))['status'] as { rules?: RuleStatus[] } | undefined)?.rules?.[0]
  const weigh = async (stable: number, canary: number) => cluster.kubectl('-n', 'ml', 'patch', 'modelroute', 'fraud', '--type=json', '-p', JSON.stringify(
    [stable, canary].map((value, at) => ({ op: 'replace', path: `/spec/rules/0/backendRefs/${at}/weight`, value }))))
  const phase = (wanted: string) => until(wanted, async () => (await rule())?.phase === wanted)
  /** A rollout from the beginning, at its first step. */
  async function underWay(): Promise<void> {
    await weigh(100, 0)
    await phase('Stable')
    await weigh(0, 100)
    await phase('AwaitingApproval')
  }

  test('README.md and kubernetes.md: an installation, its test, and a route', async (t) => {
    const type = shell(t)
    const text = below('README.md', 'On Kubernetes')
    writeFileSync(join(folder, 'fraud.yaml'), blockOf(text, 'yaml'))
    const [install = '', ...readme] = typedIn(text)
    const [same, wait = '', selftest = ''] = typedIn(below('docs/kubernetes.md', 'Install'))
    assert.equal(install, same)
    assert.equal(typedIn(page('charts/modelroute/README.md'))[1], wait)
    // Where Pods are processes, the port of a Service is that of its Pods.
    await type(`${install},gatewayDefaults.service.port=8080,gatewayDefaults.service.httpsPort=8443,gatewayDefaults.drain.delaySeconds=0,tests.timeoutSeconds=200`)
    await type(wait)
    for (const command of readme) await type(command)
    assert.match(await type(selftest), /Phase: +Succeeded/)
    for (const heading of ['A canary by weight edits', 'Reading a status']) for (const command of typedIn(below('docs/kubernetes.md', heading))) await type(command)
    assert.match(await type(readme.at(-1) ?? ''), /stable=95 canary=5/)
  })

  test('limits.md: which policy holds is told as the page shows it', async (t) => {
    const type = shell(t)
    await cluster.apply([['tiers', 'Defaults'], ['strict', 'Overrides']].map(([name, strategy]) => ({
      apiVersion: 'modelroute.io/v1alpha1', kind: 'RateLimitPolicy', metadata: { name, namespace: 'ml' },
      spec: { strategy, targetRefs: [{ group: 'modelroute.io', kind: 'ModelRoute', name: 'fraud' }], limits: [{ name: 'daily', rate: { requests: 1000, window: '24h' }, scope: 'Local' }] },
    })))
    const text = below('docs/limits.md', 'Which policy holds')
    const [list = '', message = ''] = typedIn(text)
    assert.match(await type(list), /^strict .*\n^tiers /m)
    const shown = blockOf(text, 'console').trimEnd().split('\n').at(-1)
    await until(shown ?? '', async () => (await type(message)) === shown)
  })

  test('auth.md: keys in the cluster', async (t) => {
    const type = shell(t)
    const [create = '', rotate = '', revoke = '', list = ''] = typedIn(below('docs/auth.md', 'API keys'))
    for (const command of [create, rotate]) assert.match(await type(command), /^mrk_\S+\n$/)
    const keys = async () => (await type(list)).split('\n').filter((line) => /\bann\b/.test(line)).length
    assert.equal(await keys(), 2)
    await type(revoke)
    assert.equal(await keys(), 0)
  })

  test('rollouts.md: what steers a rollout', async (t) => {
    const type = shell(t)
    const [status = '', promote = '', abort = '', undo = '', setWeight = '', hash = '', annotate = ''] = typedIn(below('docs/rollouts.md', 'Commands'))
    // Something to go back to.
    for (const [revision, stable] of [[2, 90], [3, 100]] as const) {
      await weigh(stable, 100 - stable)
      await until(`revision ${revision}`, async () => (await rule())?.revision === revision)
    }
    const steps = [{ percent: 5, approval: true }, { percent: 50, approval: true }]
    await kubectl('-n', 'ml', 'patch', 'modelroute', 'fraud', '--type=json', '-p', JSON.stringify([{ op: 'add', path: '/spec/rules/0/rollout', value: { candidate: 'canary', steps } }]))
    await phase('Stable')
    assert.match(await type(status), /infer/)
    assert.equal(await type(`kubectl ${status}`), await type(status))
    await underWay()
    await type(promote)
    await until('the second step', async () => (await rule())?.step === 2)
    await type(abort)
    await phase('Aborted')
    await type(undo)
    await until('the third revision', async () => (await rule())?.revision === 3)
    await weigh(100, 0)
    await phase('Stable')
    await type(setWeight)
    await phase('AwaitingApproval')
    await type(`${hash}\n${annotate}`)
    await until('the annotation to be obeyed', async () => (await rule())?.step === 2)
  })

  test('console.md: a command through the control port, with a token', async (t) => {
    const type = shell(t)
    await cluster.helm('upgrade', 'modelroute', join(root, 'charts/modelroute'), '-n', 'modelroute', '--reuse-values', '--set', 'controller.consoleActions=true', '--wait', '--timeout=200s', { timeout: 210_000 })
    await kubectl('-n', 'ml', 'create', 'serviceaccount', 'jane')
    await kubectl('create', 'clusterrolebinding', 'jane', '--clusterrole=cluster-admin', '--serviceaccount=ml:jane')
    writeFileSync(join(folder, 'token'), await cluster.token('ml', 'jane'))
    await underWay()
    const [forwarded = '', abort = ''] = typedIn(page('docs/console.md')).slice(-2)
    assert.match(forwarded, /^kubectl -n modelroute port-forward deploy\/modelroute-controller 9903$/)
    await forward(t, 'controller', 9903)
    await until('it is obeyed', () => type(abort).then(() => true))
    await phase('Aborted')
  })

  test('alerts.md: what the runbooks do', { timeout: 200_000 }, async (t) => {
    const names = blockOf(page('docs/alerts.md'), 'bash')
    // What somebody would do in the editor that opens.
    const type = shell(t, { KUBE_EDITOR: "sed -i 's/requests: 1000/requests: 2000/'" })
    const commands = typedIn(page('docs/alerts.md'))
    assert.ok(commands.length >= 12)
    await forward(t, 'gateway', 9901)
    for (const command of commands) {
      if (/rollout (abort|promote|retry)/.test(command)) await underWay()
      if (command.includes(' retry ')) {
        await type(`${names}modelroute rollout abort "$ROUTE" "$RULE" -n "$NS"`)
        await phase('Aborted')
      }
      await type(`${names}${command}`)
      // The cores of this machine are not for six of them.
      if (command.includes(' scale ')) await kubectl('-n', 'modelroute', 'scale', 'deploy/modelroute-gateway-default', '--replicas=2')
      await kubectl('-n', 'modelroute', 'rollout', 'status', 'deploy/modelroute-controller', '--timeout=100s')
    }
    for (const command of typedIn(page('docs/upgrades.md')).filter((each) => each.startsWith('kubectl '))) await type(command)
  })

  test('plugins.md: a folder becomes a ConfigMap', async (t) => {
    const type = shell(t)
    mkdirSync(join(folder, 'plugins'))
    writeFileSync(join(folder, 'plugins/needs-team.ts'), blockOf(page('docs/plugins.md'), 'ts'))
    await type(blockOf(below('docs/plugins.md', 'In a cluster'), 'bash'))
    assert.match(await kubectl('-n', 'modelroute', 'get', 'configmap', 'plugins', '-o', 'jsonpath={.data}'), /needs-team\.ts/)
  })

  test('tutorials/kserve.md and kubernetes.md: nothing of it stays', async (t) => {
    const type = shell(t)
    for (const command of typedIn(page('docs/tutorials/kserve.md'))) await type(command)
    await assert.rejects(kubectl('get', 'namespace', 'ml'), /not found/)
    const [, , secrets = ''] = typedIn(below('docs/kubernetes.md', 'Upgrade and uninstall'))
    assert.match(await type(secrets), /deleted/)
    assert.equal(await kubectl('-n', 'modelroute', 'get', 'secrets', '-o', 'name', '-l', 'app.kubernetes.io/managed-by=modelroute-controller'), '')
  })
})
