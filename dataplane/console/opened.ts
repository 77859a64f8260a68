import type { ConsoleDeps, ProxyConsole } from './console.ts'

export type { ProxyConsole }

/** Loaded with the first look: most proxies of a fleet are never looked at. */
export function createProxyConsole(deps: ConsoleDeps): ProxyConsole {
  let opened: Promise<ProxyConsole> | undefined
  const open = (): Promise<ProxyConsole> => opened ??= import('./console.ts').then((console) => console.createProxyConsole(deps))
  return {
    own: async (look) => (await open()).own(look),
    state: async (look) => (await open()).state(look),
    close() {
      void opened?.then((console) => console.close())
    },
  }
}
