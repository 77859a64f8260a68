import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test, type TestContext } from 'node:test'
import { chromium, type Browser, type Page } from 'playwright-core'
import { startServing, type Served } from '../../cli/serve.ts'
import { httpUpstream } from '../dataplane/sockets.ts'
import { serviceAt } from '../manifests.ts'

const route = (canary: number) => `apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: fraud, namespace: ml}
spec:
  rules:
  - name: infer
    matches: [{path: {value: /fraud}}]
    backendRefs:
    - {variant: stable, name: model, port: 8000, weight: ${100 - canary}}
    - {variant: canary, name: model, port: 8000, weight: ${canary}}
    rollout:
      candidate: canary
      steps: [{percent: 5, hold: 1h}, {percent: 25, hold: 1h}, {percent: 50, hold: 1h}]
      analysis: {metrics: [{name: error-rate, max: "0.5"}]}
`

suite('the console of a fleet in a browser', () => {
  let browser: Browser
  let served: Served
  let folder: string
  let token: string
  const cleanups: (() => unknown)[] = []

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fleet-'))
    const hold = { after: (fn: () => unknown) => { cleanups.push(fn) } } as unknown as TestContext
    const port = await httpUpstream(hold, (request, response) => void request.resume().once('end', () => response.end('{}')))
    writeFileSync(join(folder, 'services.yaml'), serviceAt('model', port, 'ml'))
    writeFileSync(join(folder, 'route.yaml'), route(0))
    served = await startServing({
      filename: [join(folder, 'services.yaml'), join(folder, 'route.yaml')], host: '127.0.0.1', httpPort: 0, adminHost: '127.0.0.1', adminPort: 0, controlPort: 0,
      drainDelay: 0, drainTimeout: 1000, logLevel: 'error', stateDir: join(folder, 'state'), consoleActions: true,
    })
    await served.started
    token = readFileSync(join(folder, 'state/console-token'), 'utf8').trim()
    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] })
  })
  after(async () => {
    await browser?.close()
    await served?.end()
    for (const cleanup of cleanups) await cleanup()
    rmSync(folder, { recursive: true, force: true })
  })

  async function open(t: TestContext): Promise<{ page: Page; complaints: string[] }> {
    const context = await browser.newContext()
    t.after(() => context.close())
    context.setDefaultTimeout(15_000)
    const page = await context.newPage()
    const complaints: string[] = []
    page.on('console', (message) => { if (!/401|409/.test(message.text())) complaints.push(`${message.type()}: ${message.text()}`) })
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('request', (request) => { if (!request.url().startsWith(served.control)) complaints.push(`asked ${request.url()}`) })
    await page.goto(`${served.control}/console#rollouts`)
    return { page, complaints }
  }
  const phase = (page: Page, text: string) => page.locator('article.rollout .pill', { hasText: text }).waitFor()
  const step = (page: Page, share: string) => page.locator('article.rollout li[aria-current="step"]', { hasText: share }).waitFor()
  const press = (page: Page, name: string) => page.locator('article.rollout').getByRole('button', { name, exact: true }).click()

  test('an operator signs in, promotes a rollout, sets weights, and aborts', async (t) => {
    const { page, complaints } = await open(t)
    await phase(page, 'Stable')
    writeFileSync(join(folder, 'route.yaml'), route(100))
    await phase(page, 'Progressing')
    await step(page, '5 %')
    await page.locator('.gates li', { hasText: 'error-rate' }).waitFor()
    await press(page, 'Promote')
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Token', { exact: true }).fill('not-the-token')
    await dialog.getByRole('button', { name: 'Promote' }).click()
    assert.match(await dialog.getByRole('alert').innerText(), /401.*not the one/)
    await dialog.getByLabel('Token', { exact: true }).fill(token)
    await dialog.getByRole('button', { name: 'Promote' }).click()
    await step(page, '25 %')
    await page.getByText('Commands are given as token').waitFor()
    await press(page, 'Set weights')
    await dialog.getByLabel('Weight of stable').fill('40')
    await dialog.getByLabel('Weight of canary').fill('60')
    await dialog.getByRole('button', { name: 'Set weights' }).click()
    await page.locator('article.rollout tr', { hasText: 'canary' }).getByText('60').waitFor()
    assert.match(readFileSync(join(folder, 'route.yaml'), 'utf8'), /stable, .*weight: 40\}[\s\S]*canary, .*weight: 60\}/)
    await press(page, 'Abort')
    await dialog.getByRole('button', { name: 'Abort' }).click()
    await phase(page, 'Aborted')
    await page.locator('.history summary').click()
    assert.match(await page.locator('.history').innerText(), /RolloutCommand\s*abort by token from 127\.0\.0\.1/)
    assert.deepEqual(await page.context().cookies(), [])
    assert.deepEqual(await page.evaluate('[localStorage.length, sessionStorage.length]'), [0, 0])
    assert.ok(!(await page.content()).includes(token))
    await page.reload()
    await page.getByRole('button', { name: 'Sign in to give commands' }).waitFor()
    assert.deepEqual(complaints, [])
  })

  test('another site gives no commands and reads nothing, though it knows the token and turns its name to this machine', async (t) => {
    const context = await browser.newContext()
    t.after(() => context.close())
    const evil = await context.newPage()
    const { port } = new URL(served.control)
    await evil.route('http://evil.localhost/**', (answer) => answer.fulfill({ contentType: 'text/html', body: `
      <form id="f" method="post" enctype="text/plain" action="${served.control}/rollout"><input name='{"namespace":"ml","route":"fraud","action":"retry","x":"' value='"}'></form>
      <iframe src="${served.control}/console"></iframe>` }))
    await evil.goto('http://evil.localhost/')
    const attempts = await evil.evaluate(async ([url, secret]) => {
      const body = JSON.stringify({ namespace: 'ml', route: 'fraud', action: 'retry' })
      const full = { 'content-type': 'application/json', 'x-modelroute-console': '1', authorization: `Bearer ${secret}` }
      const outcome = (init: RequestInit, path = '/rollout') => fetch(`${url}${path}`, init).then((answer) => `${answer.type} ${answer.status}`, () => 'refused')
      return Promise.all([
        outcome({ method: 'POST', body, headers: full }), outcome({ method: 'POST', body, mode: 'no-cors' }), outcome({ method: 'POST', body }),
        outcome({}, '/console/state'), outcome({ method: 'POST', body: '{}', headers: full }, '/console/session'),
      ])
    }, [served.control, token])
    assert.ok(attempts.every((outcome) => outcome === 'refused' || outcome === 'opaque 0'), attempts.join())
    const frame = evil.frames()[1]
    assert.ok(!(await frame?.content().catch(() => ''))?.includes('Rollouts'))
    const answer = evil.waitForResponse((response) => response.url() === `${served.control}/rollout`)
    await evil.evaluate('document.getElementById("f").submit()')
    assert.equal((await answer).status(), 415)
    // A name of its own that leads here is the same origin to the browser: only the name gives it away.
    const rebound = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--host-resolver-rules=MAP rebound.example 127.0.0.1'] })
    t.after(() => rebound.close())
    const page = await rebound.newPage()
    for (const path of ['/console', '/console/state', '/status']) {
      assert.equal((await page.goto(`http://rebound.example:${port}${path}`))?.status(), 403, path)
    }
    const { items: [fraud] } = await (await fetch(`${served.control}/status`)).json() as { items: { status: { rules: { phase: string }[] } }[] }
    assert.equal(fraud?.status.rules[0]?.phase, 'Aborted', 'nothing was begun anew')
  })
})
