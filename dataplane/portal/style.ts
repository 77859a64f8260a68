/** The portal's stylesheet: nothing is loaded from anywhere else. Dark or light as the visitor's system is. */
export const style = `
:root { color-scheme: light dark; --line: light-dark(#d5d9e0, #3b414b); --soft: light-dark(#f4f6f9, #1d2128); --quiet: light-dark(#525a66, #aab2bf); --accent: light-dark(#0b5cad, #78b7ff); --bad: light-dark(#a3161b, #ff9a9a); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; background: light-dark(#fff, #14171c); color: light-dark(#1b1f26, #e8ebf0); }
header { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; justify-content: space-between; border-bottom: 1px solid var(--line); padding-bottom: .75rem; }
h1 { font-size: 1.25rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; } dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
form.signin { max-width: 26rem; margin-top: 2rem; display: grid; gap: .75rem; }
label { font-weight: 600; }
input { font: inherit; padding: .5rem; width: 100%; border: 1px solid var(--line); border-radius: .4rem; background: var(--soft); color: inherit; }
button { font: inherit; padding: .5rem 1rem; border: 1px solid var(--accent); border-radius: .4rem; background: transparent; color: var(--accent); cursor: pointer; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
article { border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; margin: .75rem 0; }
.quiet { color: var(--quiet); font-size: .9rem; margin: .25rem 0; overflow-wrap: anywhere; }
.bad { color: var(--bad); }
meter { width: 100%; height: 1rem; }
details { margin-top: .5rem; } summary { cursor: pointer; padding: .25rem 0; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: .4rem; padding: .75rem; overflow-x: auto; user-select: all; font: .85rem/1.45 ui-monospace, monospace; }
pre.key { font-size: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
`
