import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, suite, test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import { testProxy } from '../dataplane/proxy.ts'
import { deadPort } from '../dataplane/sockets.ts'
import { active, match, route, rule } from '../dataplane/table.ts'
import { inTime, watchMachine } from '../machine.ts'
import { hostile, openScene, token, type Scene } from './console/scene.ts'

const axe = readFileSync(fileURLToPath(import.meta.resolve('axe-core')), 'utf8')
const views = ['traffic', 'rollouts', 'limits', 'endpoints', 'caches', 'table', 'explain']

/** A number as the page writes it. */
const figure = (text: string | null) => Number((text ?? '').replaceAll(/[^\d.]/g, ''))

/** Until it is true in the page, asked from outside: its policy lets no text become code. */
async function until(page: Page, condition: string): Promise<void> {
  while (await page.evaluate(condition) !== true) await page.waitForTimeout(25)
}

async function faults(page: Page, options: string): Promise<readonly string[]> {
  const { violations } = await page.evaluate(`axe.run(document, ${options})`) as { violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }
  return violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`)
}

suite('the console in a browser', () => {
  let browser: Browser
  let scene: Scene
  before(async () => {
    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] })
    scene = await openScene()
    await scene.traffic(4)
  })
  after(async () => {
    await browser?.close()
    await scene?.close()
  })

  /** A page that is closed with the test, and all that the browser complained of on it. */
  async function open(t: TestContext, view = 'traffic', options: BrowserContextOptions = {}): Promise<{ page: Page; complaints: string[] }> {
    const context = await browser.newContext(options)
    t.after(() => context.close())
    context.setDefaultTimeout(15_000)
    const page = await context.newPage()
    const complaints: string[] = []
    page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`))
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('request', (request) => { if (!request.url().startsWith(scene.served.admin ?? '')) complaints.push(`asked ${request.url()}`) })
    await page.goto(`${scene.served.admin}/console#/${view}`)
    await page.locator('#view h2').waitFor()
    return { page, complaints }
  }

  const show = async (page: Page, view: string) => {
    await page.locator(`nav a[href="#/${view}"]`).click()
    await page.locator(`#view h2:text-is("${view[0]?.toUpperCase()}${view.slice(1)}")`).waitFor()
  }

  test('what it shows moves with the traffic, and agrees with the metrics', async (t) => {
    const { page, complaints } = await open(t)
    const infer = page.getByRole('row', { name: /fraud.*infer/ })
    const rateNow = async () => figure(await infer.getByRole('cell').nth(0).innerText())
    const quit = new AbortController()
    const traffic = (async () => { while (!quit.signal.aborted) await scene.traffic(1) })()
    t.after(() => quit.abort())
    await until(page, "Number(document.querySelector('.tile .figure').textContent) > 0")
    while (await rateNow() === 0) await page.waitForTimeout(50)
    quit.abort()
    await traffic
    await until(page, "document.querySelector('.tile .figure').textContent === '0'")
    const metrics = await (await fetch(`${scene.served.admin}/metrics`)).text()
    const sumOf = (labels: string) => [...metrics.matchAll(/^modelroute_requests_total\{(.*)\} (\S+)$/gm)]
      .filter(([, given = '']) => labels.split(' ').every((label) => given.includes(label))).reduce((sum, [, , count]) => sum + Number(count), 0)
    for (const [row, labels] of [[page.getByRole('row', { name: 'stable 1' }), 'route="ml/fraud" rule="infer" variant="stable"'], [page.getByRole('row', { name: 'canary 2' }), 'variant="canary"']] as const) {
      assert.equal(figure(await row.getByRole('cell').nth(0).locator('span').getAttribute('title')), sumOf(labels))
    }
    assert.equal(figure((await page.locator('.tile', { hasText: 'In flight' }).locator('span.quiet').innerText()).replace(/ request.*/, '')), sumOf('route='))
    assert.deepEqual(complaints, [])
  })

  test('names that would be markup stand there as text, in every view', async (t) => {
    const { page, complaints } = await open(t)
    let seen = 0
    for (const view of views) {
      await show(page, view)
      seen += Number((await page.locator('#view').innerText()).includes(hostile) || (await page.locator('#view').innerHTML()).includes(`title="${hostile.replaceAll('<', '&lt;').replaceAll('>', '&gt;')}"`))
    }
    assert.ok(seen >= 2, 'it is shown as a caller and as a version')
    await page.locator('#search').or(page.locator('#url')).first().fill(hostile)
    await page.goto(`${scene.served.admin}/console#/traffic?search=${encodeURIComponent(hostile)}&sort=${encodeURIComponent('"><img src=x onerror=window.hit=1>')}`)
    await page.locator('.live', { hasText: 'Lost: it answers 400' }).waitFor()
    assert.equal(await page.locator('img').count(), 0)
    assert.equal(await page.evaluate('window.hit'), undefined)
    assert.deepEqual(complaints.filter((one) => !one.includes('400 (Bad Request)')), [])
  })

  test('a request is explained by keyboard alone, and the skip link and the search are reached', async (t) => {
    const { page, complaints } = await open(t)
    await page.keyboard.press('Tab')
    assert.equal(await page.evaluate('document.activeElement.textContent'), 'Skip to the content')
    await page.keyboard.press('/')
    assert.equal(await page.evaluate('document.activeElement.id'), 'search')
    await page.keyboard.type('catalogue')
    await until(page, "document.querySelectorAll('.rule-row').length === 2")
    await page.keyboard.press('Escape')
    await page.locator('.rule-row', { hasText: 'fraud' }).first().waitFor()
    const focused = () => page.evaluate('document.activeElement.textContent') as Promise<string>
    const tabTo = async (text: string) => {
      for (let i = 0; i < 60 && (await focused()) !== text; i++) await page.keyboard.press('Shift+Tab')
      assert.equal(await focused(), text)
    }
    await tabTo('Explain')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Explain' }).waitFor()
    for (let i = 0; i < 10 && await page.evaluate('document.activeElement.id') !== 'url'; i++) await page.keyboard.press('Tab')
    await page.keyboard.type('/v2/models/fraud/infer')
    // The page looks again meanwhile, and must not take what is typed nor the focus.
    await page.waitForResponse((response) => response.url().includes('/console/state'))
    assert.equal(await page.locator('#url').inputValue(), '/v2/models/fraud/infer')
    await page.keyboard.press('Enter')
    await page.getByText('Sent to').waitFor()
    assert.match(await page.locator('.answer').innerText(), /fraud\s+infer[\s\S]*request_id/)
    assert.deepEqual(complaints, [])
  })

  test('a list is ordered by its headings, which say so', async (t) => {
    const { page } = await open(t)
    const header = page.getByRole('columnheader', { name: 'Errors' })
    await header.getByRole('button').press('Enter')
    await page.locator('[aria-sort]', { hasText: 'Errors' }).waitFor()
    assert.equal(await header.getAttribute('aria-sort'), 'descending')
    await until(page, "document.querySelector('.rule-row').textContent.includes('rank')")
    await page.getByRole('columnheader', { name: 'Route and rule' }).getByRole('button').press('Enter')
    await until(page, "document.querySelector('.rule-row th').textContent.includes('no rule matched')")
  })

  test('nothing of it is out of reach, in dark and light, on a screen and on a phone', async (t) => {
    const { page, complaints } = await open(t, 'traffic', { colorScheme: 'dark', reducedMotion: 'reduce' })
    const small = await open(t, 'traffic', { colorScheme: 'light', viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true, reducedMotion: 'reduce' })
    for (const view of views) {
      for (const each of [page, small.page]) {
        await show(each, view)
        if (view === 'table') await each.locator('summary').first().click()
        if (view === 'explain') {
          await each.getByLabel('Address or path').fill('/v1/chat/completions')
          await each.getByRole('button', { name: 'Explain' }).click()
          await each.getByText('Refused:').waitFor()
        }
        // A policy that lets no text become code lets no checker in either, so it comes by the debugger.
        if (view === 'traffic') await each.evaluate(axe)
        assert.deepEqual(await faults(each, '{ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }'), [], view)
      }
      await page.emulateMedia({ colorScheme: 'light' })
      assert.deepEqual(await faults(page, '{ runOnly: { type: "rule", values: ["color-contrast"] } }'), [], `${view} in the other colours`)
      await page.emulateMedia({ colorScheme: 'dark' })
      assert.ok(Number(await small.page.evaluate('document.documentElement.scrollWidth')) <= 360, `${view} is wider than a phone`)
    }
    assert.deepEqual([...complaints, ...small.complaints], [])
  })

  test('the theme that somebody chose stays, and until then it is the one of the system', async (t) => {
    const { page } = await open(t, 'traffic', { colorScheme: 'dark' })
    const ground = () => page.evaluate('getComputedStyle(document.body).backgroundColor')
    const dark = await ground()
    await page.getByRole('button', { name: /^Theme: auto/ }).click()
    assert.notEqual(await ground(), dark)
    await page.reload()
    await page.getByRole('button', { name: /^Theme: light/ }).click()
    assert.equal(await ground(), dark)
  })
})

suite('the console of a gateway that ends', () => {
  test('a lost connection is said and shown, and it goes on by itself when somebody answers again', async (t) => {
    const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] })
    t.after(() => browser.close())
    const first = await openScene()
    const page = await browser.newPage()
    await page.goto(`${first.served.admin}/console`)
    await page.getByText('Live', { exact: true }).waitFor()
    const port = Number(new URL(first.served.admin ?? '').port)
    await first.close()
    await page.locator('.live', { hasText: 'Lost: nobody answers' }).waitFor()
    assert.match(await page.getByRole('status').innerText(), /connection is lost/)
    await page.locator('html.stale').waitFor()
    const second = await openScene({ port })
    t.after(() => second.close())
    await page.getByText('Live', { exact: true }).waitFor()
    assert.equal(await page.locator('html.stale').count(), 0)
  })

  test('five thousand routes are a page, a search and an address away, and hold nobody up', async (t) => {
    const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] })
    t.after(() => browser.close())
    const routes = Array.from({ length: 5000 }, (_, i) => route({ id: `ml/model-${String(i).padStart(4, '0')}`, rules: [rule({ matches: [match(`/m/${i}`)] })] }))
    const proxy = await testProxy(t, active('1', routes, { 'ml/s:80': [await deadPort()] }))
    await fetch(`${proxy.url}/m/7`)
    const machine = watchMachine()
    const page = await browser.newPage()
    await page.addInitScript('window.long = []; new PerformanceObserver((list) => { for (const one of list.getEntries()) window.long.push(one.duration) }).observe({ type: "longtask" })')
    await page.goto(`${proxy.urls.admin}/console`)
    await page.getByText('1 to 25 of 5,000').waitFor()
    assert.ok(await page.locator('tbody tr').count() <= 25)
    await page.keyboard.press('/')
    await page.keyboard.type('model-4321')
    await page.locator('.rule-row', { hasText: 'model-4321' }).waitFor()
    await page.getByText('1 in all').waitFor()
    await page.goto(`${proxy.urls.admin}/console#/table`)
    await page.getByRole('button', { name: 'Next' }).click()
    await page.getByText('26 to 50 of').waitFor()
    const long = await page.evaluate('window.long') as number[]
    inTime(t, 'the page was held up', Math.max(0, ...long), 1000, machine())
  })
})

suite('the console of a fleet in a browser', () => {
  test('a rollout is promoted by whoever has a token, is asked about first, and nobody else finds a button', async (t) => {
    const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] })
    t.after(() => browser.close())
    const scene = await openScene()
    t.after(() => scene.close())
    const page = await browser.newPage()
    const complaints: string[] = []
    page.on('console', (message) => complaints.push(message.text()))
    await page.goto(`${scene.served.admin}/console#/rollouts`)
    await page.locator('.rollout').waitFor()
    assert.equal(await page.locator('.rollout button').count(), 0, 'a proxy offers none')
    await page.goto(`${scene.served.control}/console#/rollouts`)
    const card = page.locator('.rollout', { hasText: 'fraud' })
    await card.locator('.steps .now', { hasText: '5 %' }).waitFor()
    await page.getByRole('button', { name: 'Sign in to give commands' }).click()
    await page.getByLabel('Token').fill('a guess')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').getByText(/401/).waitFor()
    await page.getByLabel('Token').fill(token)
    await page.keyboard.press('Enter')
    await page.getByText('Commands are given as').waitFor()
    await card.getByRole('button', { name: 'Promote', exact: true }).click()
    await page.getByRole('dialog').getByText('on to the next step').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    assert.equal(await card.locator('.steps .now strong').innerText(), '5 %', 'it was only asked about')
    await card.getByRole('button', { name: 'Promote', exact: true }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Promote' }).click()
    await card.locator('.steps .now', { hasText: '25 %' }).waitFor()
    assert.equal(await page.evaluate(`JSON.stringify([localStorage, sessionStorage, document.cookie]).includes(${JSON.stringify(token)})`), false)
    assert.deepEqual(complaints.filter((one) => !one.includes('401')), [])
  })
})
