import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import { startServing, type Served } from '../../cli/serve.ts'
import { httpUpstream } from '../dataplane/sockets.ts'
import { inBash } from '../bash.ts'
import { serviceAt } from '../manifests.ts'

const run = promisify(execFile)
const key = 'k-of-ann-0123456789abcdef'

const manifests = (port: number) => `
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: fraud, namespace: ml}
spec:
  auth: {anyOf: [{apiKey: {in: Header, name: x-api-key, selector: {matchLabels: {team: a}}}}]}
  rules:
  - name: infer
    matches: [{path: {value: /v2/models/fraud}}]
    backendRefs: [{variant: stable, name: fraud, port: 8000}]
  - name: chat
    matches: [{path: {value: /v1}}]
    authorization: {allow: [{consumers: [ann], models: [llama]}]}
    backendRefs: [{variant: stable, name: fraud, port: 8000}]
  - name: private
    matches: [{path: {value: /v2/models/bobs-own}}]
    authorization: {allow: [{consumers: [bob]}]}
    backendRefs: [{variant: stable, name: fraud, port: 8000}]
---
apiVersion: modelroute.io/v1alpha1
kind: RateLimitPolicy
metadata: {name: daily, namespace: ml}
spec:
  targetRefs: [{group: modelroute.io, kind: ModelRoute, name: fraud, sectionName: infer}]
  limits: [{name: daily, counters: [{type: Principal}], rate: {requests: 20, window: 24h}}]
---
apiVersion: v1
kind: Secret
metadata:
  name: ann-key
  namespace: ml
  labels: {modelroute.io/credential: api-key, team: a}
  annotations: {modelroute.io/consumer: ann, modelroute.io/tier: pro, modelroute.io/self-service-rotation: 24h}
stringData: {keySha256: ${createHash('sha256').update(key).digest('hex')}}
---
${serviceAt('fraud', port, 'ml')}
`

suite('the portal in a browser', () => {
  let browser: Browser
  let served: Served
  let folder: string
  const cleanups: (() => unknown)[] = []

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'portal-'))
    const hold = { after: (fn: () => unknown) => { cleanups.push(fn) } } as unknown as TestContext
    const port = await httpUpstream(hold, (request, response) => { request.resume().once('end', () => response.end(`{"served":"${request.url}"}`)) })
    writeFileSync(join(folder, 'all.yaml'), manifests(port))
    served = await startServing({
      filename: [folder], host: '127.0.0.1', httpPort: 0, adminHost: '127.0.0.1', adminPort: 0, controlPort: 0,
      drainDelay: 0, drainTimeout: 1000, logLevel: 'error', portal: true,
    })
    await served.started
    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] })
  })
  after(async () => {
    await browser?.close()
    await served?.end()
    for (const cleanup of cleanups) await cleanup()
    rmSync(folder, { recursive: true, force: true })
  })

  /** A page that is closed with the test, and what the browser complained of on it. */
  async function open(t: TestContext, options: BrowserContextOptions = {}): Promise<{ page: Page; complaints: string[] }> {
    const context = await browser.newContext(options)
    t.after(() => context.close())
    context.setDefaultTimeout(8000)
    const page = await context.newPage()
    const complaints: string[] = []
    page.on('console', (message) => { if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text()) })
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('request', (request) => { if (!request.url().startsWith(served.url)) complaints.push(`asked ${request.url()}`) })
    await page.goto(`${served.url}/portal`)
    return { page, complaints }
  }

  async function signIn(page: Page, given = key): Promise<void> {
    await page.getByLabel('Your API key').fill(given)
    await page.getByRole('button', { name: 'Sign in' }).click()
  }

  test('a holder signs in, sees what is theirs, and the curl that is shown works', async (t) => {
    const { page, complaints } = await open(t)
    await signIn(page)
    await page.getByRole('heading', { name: 'Models you may call' }).waitFor()
    assert.deepEqual(await page.locator('article h3').allTextContents(), ['fraud', 'llama'])
    assert.ok(!(await page.content()).includes('bobs-own'))
    const fraud = page.locator('article', { hasText: 'fraud, infer' })
    assert.match(await fraud.innerText(), /0 of 20 requests in 24 h used, 20 left/)
    await fraud.getByText('curl', { exact: true }).click()
    const snippet = await fraud.locator('pre').first().innerText()
    assert.equal(await inBash(`${snippet} -s --fail`, { env: { ...process.env, MODELROUTE_KEY: key } }), '{"served":"/v2/models/fraud/infer"}')
    await page.reload()
    assert.match(await fraud.innerText(), /1 of 20 requests in 24 h used, 19 left/)
    assert.match(await page.locator('dl').innerText(), /1 served, 0 refused/)
    for (const python of await page.locator('details:has(summary:not(:text("curl"))) pre').allTextContents()) {
      await run('python3', ['-c', 'import ast,sys; ast.parse(sys.argv[1])', python])
    }
    assert.deepEqual(complaints, [])
  })

  test('it works by keyboard alone', async (t) => {
    const { page } = await open(t)
    assert.equal(await page.evaluate('document.activeElement.id'), 'key')
    await page.keyboard.type(key)
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Models you may call' }).waitFor()
    const focused = () => page.evaluate('document.activeElement.textContent')
    for (let i = 0; i < 10 && (await focused()) !== 'curl'; i++) await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    assert.equal(await page.locator('details').first().getAttribute('open'), '')
    for (let i = 0; i < 10 && (await focused()) !== 'Sign out'; i++) await page.keyboard.press('Shift+Tab')
    await page.keyboard.press('Enter')
    await page.getByLabel('Your API key').waitFor()
    await page.goBack()
    await page.reload()
    await page.getByLabel('Your API key').waitFor()
  })

  test('a wrong key is said to be unknown, aloud, and nothing more', async (t) => {
    const { page } = await open(t)
    await signIn(page, 'k-of-nobody')
    assert.equal(await page.getByRole('alert').innerText(), 'That key is not known here.')
    assert.equal(await page.getByLabel('Your API key').inputValue(), '')
    assert.deepEqual(await page.context().cookies(), [])
  })

  for (const colorScheme of ['light', 'dark'] as const) {
    test(`on a phone, ${colorScheme}, nothing is cut off and everything can be read`, async (t) => {
      const { page } = await open(t, { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true, colorScheme })
      await signIn(page)
      await page.locator('article').first().waitFor()
      for (const summary of await page.locator('summary').all()) await summary.tap()
      assert.ok(Number(await page.evaluate('document.documentElement.scrollWidth')) <= 360)
      const contrast = await page.evaluate(`(() => {
        const light = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number).map((c) => { c /= 255; return c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4 }).reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0)
        const ground = light(getComputedStyle(document.body).backgroundColor)
        return ['body', '.quiet', 'button', 'h3'].map((name) => light(getComputedStyle(document.querySelector(name)).color)).map((ink) => (Math.max(ink, ground) + .05) / (Math.min(ink, ground) + .05))
      })()`) as number[]
      for (const ratio of contrast) assert.ok(ratio >= 4.5, `a contrast of ${contrast.join(', ')} (WCAG 2.1, 1.4.3)`)
    })
  }

  test('a holder replaces the key, the new one works within seconds, and the old one goes on for a while', async (t) => {
    const { page, complaints } = await open(t)
    await signIn(page)
    await page.getByRole('button', { name: 'Replace this key' }).click()
    const fresh = await page.getByLabel('The new key').innerText()
    assert.match(fresh, /^mr_[\w-]{43}$/)
    const ask = async (given: string) => (await fetch(`${served.url}/v2/models/fraud/infer`, { method: 'POST', body: '{}', headers: { 'x-api-key': given } })).status
    while (await ask(fresh) !== 200) await new Promise((resolve) => { setTimeout(resolve, 20) })
    assert.equal(await ask(key), 200)
    assert.ok(!readFileSync(join(folder, 'rotated-keys.yaml'), 'utf8').includes(fresh))
    await page.getByRole('link', { name: 'Back to your models' }).click()
    await page.getByRole('heading', { name: 'Models you may call' }).waitFor()
    assert.equal(await page.getByRole('button', { name: 'Replace this key' }).count(), 0, 'it has been replaced')
    assert.match(await page.locator('dl').innerText(), /Expires\s+20/)
    await page.getByRole('button', { name: 'Sign out' }).click()
    await signIn(page, fresh)
    await page.getByRole('button', { name: 'Replace this key' }).waitFor()
    assert.deepEqual(complaints, [])
  })

  test('another site cannot use the session: no form of it is obeyed, and no frame is shown', async (t) => {
    const { page } = await open(t)
    await signIn(page)
    await page.getByRole('heading', { name: 'Models you may call' }).waitFor()
    const evil = await page.context().newPage()
    // Another host of the same machine is another site.
    await evil.route('http://evil.localhost/**', (route) => route.fulfill({ contentType: 'text/html', body: `
      <form id="f" method="post" action="${served.url}/portal/sign-out"><input name="token" value="x"></form>
      <iframe src="${served.url}/portal"></iframe>` }))
    await evil.goto('http://evil.localhost/')
    const frame = evil.frames()[1]
    assert.ok(!(await frame?.content().catch(() => ''))?.includes('Your key'))
    const answered = evil.waitForResponse((response) => response.request().method() === 'POST')
    await evil.evaluate('document.getElementById("f").submit()')
    await answered
    await evil.waitForLoadState()
    await page.reload()
    await page.getByRole('heading', { name: 'Models you may call' }).waitFor()
  })
})
