import type { IncomingMessage, ServerResponse } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import type { Family } from '../../exposition/family.ts'
import { Merged, pagesOf, type Page } from '../../exposition/pages.ts'
import { createScrape } from '../../exposition/scrape.ts'
import type { Caches } from '../cache/caches.ts'
import { inSlices, type Sliced } from '../sliced.ts'
import type { UpstreamReport } from '../upstream/report.ts'
import { cacheFamilies } from './caches.ts'
import { ledgerFamilies } from './ledger/families.ts'
import type { LedgerState } from './ledger/open.ts'
import { processFamilies, type ProcessDeps } from './process.ts'
import { requestFamilies } from './requests.ts'
import type { SeriesSet } from './series.ts'
import { tallyFamilies, type Tallies } from './tallies.ts'
import { standings, upstreamFamilies } from './upstreams.ts'

export type MetricsDeps = ProcessDeps & Tallies & Readonly<{
  series: SeriesSet
  caches: Caches
  ledger?: LedgerState | undefined
  /** How variants stand with their endpoints. */
  upstreams: () => Iterable<UpstreamReport>
  /** Lets go of what nothing in force counts any more. */
  tidy?: () => Sliced
  /** Of the processes that this one's metrics are to include: a page of each. */
  others?: (scrape: number) => Promise<readonly unknown[]>
}>

export type Metrics = Readonly<{
  /** Answers GET /metrics. */
  scrape(request: IncomingMessage, response: ServerResponse): void
  /** What this process counted, for another one: the next page of that scrape. */
  page(scrape: number): Promise<Page>
  /** As of now. */
  families(): Promise<readonly Family[]>
  close(): void
}>

/** Scrapes of another process that are remembered. */
const scrapesMax = 8

/** Everything that a proxy tells Prometheus. Counted and written by own code: for what there is for each route prom-client takes fifty times as long, and it is a tenth of what an idle proxy takes. */
export function createMetrics({ series, upstreams, caches, ledger, tidy, others, ...deps }: MetricsDeps): Metrics {
  const { families: own, close } = processFamilies(deps)
  const steady = [...requestFamilies(series), ...cacheFamilies(caches), ...tallyFamilies(deps), ...(ledger === undefined ? [] : ledgerFamilies(ledger))]
  const nothingSpent = (): void => {}
  async function families(): Promise<readonly Family[]> {
    if (tidy) await inSlices(tidy(), nothingSpent)
    const standing = await inSlices(standings(upstreams()), nothingSpent)
    return [...steady, ...upstreamFamilies(standing), ...own]
  }

  let scrapes = 0
  async function all(): Promise<readonly Family[]> {
    const own = await families()
    if (others === undefined) return own
    const merged = new Merged(own)
    for (const page of pagesOf(own)) {
      merged.add(page)
      await turn()
    }
    const scrape = ++scrapes
    for (let more = true; more; await turn()) {
      const pages = (await others(scrape)).filter(isPage)
      for (const page of pages) merged.add(page)
      more = pages.some((page) => page.more)
    }
    return merged.families()
  }

  const begun = new Map<number, Promise<Iterator<Page>>>()
  return {
    scrape: createScrape(all),
    async page(scrape) {
      let pages = begun.get(scrape)
      if (pages === undefined) {
        pages = families().then(pagesOf)
        begun.set(scrape, pages)
        for (const old of begun.keys()) if (begun.size > scrapesMax) begun.delete(old)
      }
      const { value, done } = (await pages).next()
      return done === true ? { rows: [], more: false } : value
    },
    families,
    close,
  }
}

/** Another process of this program made it in the same way, or gave no answer. */
function isPage(value: unknown): value is Page {
  return typeof value === 'object' && value !== null && 'rows' in value
}
