import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium, type BrowserContextOptions, type Page } from 'playwright-core'
import { ensurePackage } from '../../servers/debian.ts'
import { openScene, token } from './scene.ts'

/** `npm run screenshots`: the pictures of docs/console.md, taken of a gateway under traffic. */

const folder = join(import.meta.dirname, '../../../docs/images')
mkdirSync(folder, { recursive: true })
await ensurePackage('/usr/bin/chromium', 'chromium')

const screen = { width: 1200, height: 760 }
const phone = { viewport: { width: 360, height: 720 }, isMobile: true, hasTouch: true }
/** Milliseconds until the lines have some length. */
const watched = 22_000

const explained = async (page: Page): Promise<void> => {
  await page.getByLabel('Address or path').fill('/v2/models/fraud/infer')
  await page.getByRole('button', { name: 'Explain' }).click()
  await page.getByText('Sent to').waitFor()
}

type Shot = Readonly<{ name: string; at: 'admin' | 'control'; view: string; options: BrowserContextOptions; before?: (page: Page) => Promise<void> }>
const shots: readonly Shot[] = [
  { name: 'console-traffic', at: 'admin', view: 'traffic', options: { viewport: screen, colorScheme: 'light' } },
  { name: 'console-endpoints', at: 'admin', view: 'endpoints', options: { viewport: screen, colorScheme: 'dark' } },
  { name: 'console-rollouts', at: 'control', view: 'rollouts', options: { viewport: { width: 1200, height: 900 }, colorScheme: 'dark' } },
  { name: 'console-explain', at: 'admin', view: 'explain', options: { viewport: screen, colorScheme: 'light' }, before: explained },
  { name: 'console-phone', at: 'admin', view: 'traffic', options: { ...phone, colorScheme: 'dark' } },
]

const scene = await openScene({ pretty: true })
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] })
const quit = new AbortController()
const traffic = (async () => { while (!quit.signal.aborted) await scene.traffic(1) })()
const pages = await Promise.all(shots.map(async ({ at, view, options, before }) => {
  const page = await (await browser.newContext(options)).newPage()
  await page.goto(`${scene.served[at]}/console#/${view}`)
  await page.locator('#view h2').waitFor()
  if (at === 'control') {
    await page.getByRole('button', { name: 'Sign in to give commands' }).click()
    await page.getByLabel('Token').fill(token)
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
    await page.getByText('Commands are given as').waitFor()
  }
  await before?.(page)
  return page
}))
await new Promise((resolve) => { setTimeout(resolve, watched) })
for (const [i, page] of pages.entries()) await page.screenshot({ path: join(folder, `${shots[i]?.name ?? ''}.png`), animations: 'disabled' })
quit.abort()
await traffic
await browser.close()
await scene.close()
