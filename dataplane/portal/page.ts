import type { Standing } from '../limits/limiter.ts'
import type { Holder } from './holder.ts'
import { Html, html } from './html.ts'
import type { Offer } from './offers.ts'
import { snippetsOf } from './snippets.ts'
import type { Used } from './tally.ts'

/** Where the portal is, on the public port. */
export const home = '/portal'

function layout(title: string, body: Html): string {
  return html`${new Html('<!doctype html>')}
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="stylesheet" href="${home}/style.css">
</head>
<body>
${body}
</body>
</html>
`.text
}

export function signInPage(problem: string | undefined): string {
  return layout('Sign in', html`<header><h1>Models</h1></header>
<main>
<form class="signin" method="post" action="${home}/sign-in">
<label for="key">Your API key</label>
<input id="key" name="key" type="password" required autocomplete="off" autofocus maxlength="4096" ${problem === undefined ? '' : new Html('aria-invalid="true" aria-describedby="problem"')}>
${problem === undefined ? '' : html`<p id="problem" class="bad" role="alert">${problem}</p>`}
<button>Sign in</button>
</form>
</main>`)
}

export type Dashboard = Readonly<{
  holder: Holder
  offers: readonly Offer[]
  used: Used
  /** `http://models.example.com` */
  origin: string
  token: string
  mayRotate: boolean
  problem?: string | undefined
}>

export function dashboardPage({ holder, offers, used, origin, token, mayRotate, problem }: Dashboard): string {
  const { key } = holder
  return layout('Your models', html`${heading(token)}
<main>
${problem === undefined ? '' : html`<p class="bad" role="alert">${problem}</p>`}
<h2 id="you">Your key</h2>
<dl aria-labelledby="you">
<dt>Consumer</dt><dd>${key.consumer}</dd>
${key.groups.length > 0 ? html`<dt>Groups</dt><dd>${key.groups.join(', ')}</dd>` : ''}
${key.tier === undefined ? '' : html`<dt>Tier</dt><dd>${key.tier}</dd>`}
<dt>Key</dt><dd>${key.name}</dd>
<dt>Expires</dt><dd>${key.expires === undefined ? 'never' : time(key.expires)}</dd>
<dt>Requests</dt><dd>${used.served} served, ${used.refused} refused, ${used.failed} failed <span class="quiet">at this proxy since ${time(used.since)}</span></dd>
</dl>
${mayRotate ? html`<form method="post" action="${home}/rotate">
<input type="hidden" name="token" value="${token}">
<button>Replace this key</button>
<p class="quiet">You get a new key. The old one goes on working for a while, so that you can put the new one in place.</p>
</form>` : ''}
<h2>Models you may call</h2>
${offers.length === 0 ? html`<p>None at present.</p>` : offers.map((offer) => offerOf(offer, origin))}
</main>`)
}

export function rotatedPage(key: string, name: string, until: number, token: string): string {
  return layout('Your new key', html`${heading(token)}
<main>
<h2>Your new key</h2>
<p>It is shown this once. Keep it where your other secrets are.</p>
<pre class="key" id="new-key" tabindex="0" aria-label="The new key">${key}</pre>
<dl><dt>Name</dt><dd>${name}</dd><dt>The old key works until</dt><dd>${time(until)}</dd></dl>
<p><a href="${home}">Back to your models</a></p>
</main>`)
}

function heading(token: string): Html {
  return html`<header><h1>Models</h1>
<form method="post" action="${home}/sign-out"><input type="hidden" name="token" value="${token}"><button>Sign out</button></form>
</header>`
}

function offerOf(offer: Offer, origin: string): Html {
  const { model, method, path, route, rule, limits, code } = offer
  return html`<article>
<h3>${model === '' ? path : model}</h3>
<p class="quiet">${method} ${path} · ${route}, ${rule}${offer.place === undefined ? ' · no key needed' : ''}</p>
${code === undefined ? '' : html`<p class="bad">Would be refused at present: ${code}</p>`}
${limits.map(limitOf)}
${snippetsOf(offer, origin).map(({ name, text }) => html`<details><summary>${name}</summary><pre tabindex="0">${text}</pre></details>`)}
</article>`
}

function limitOf({ limit, remaining, resetAfter }: Standing): Html {
  const { name, amount, unit, algorithm } = limit
  const what = algorithm.type === 'Concurrency' ? 'requests at once' : `${unit} ${windowOf(algorithm.window)}`
  if (Number.isNaN(remaining)) return html`<p class="quiet">${name}: ${amount} ${what}; what is left cannot be told at present</p>`
  const left = Math.max(0, Math.floor(remaining))
  const again = resetAfter > 0 && Number.isFinite(resetAfter) ? html`, all of it again in ${spanOf(resetAfter)}` : ''
  return html`<p class="quiet">${name}: ${Math.max(0, amount - left)} of ${amount} ${what} used, ${left} left${again}</p>
<meter min="0" max="${amount}" value="${Math.min(amount, left)}" low="${amount / 10}" aria-label="${name}: left">${left} of ${amount}</meter>`
}

const windowOf = (window: number | 'month') => (window === 'month' ? 'a month' : `in ${spanOf(window)}`)

function spanOf(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1000)
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.ceil(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.ceil(seconds / 3600)} h` : `${Math.ceil(seconds / 86_400)} days`
}

const time = (milliseconds: number) => {
  const text = new Date(milliseconds).toISOString()
  return html`<time datetime="${text}">${text.slice(0, 16).replace('T', ' ')} UTC</time>`
}
