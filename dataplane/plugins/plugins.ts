import { basename } from 'node:path'
import type { ValidateFunction } from 'ajv/dist/2020.js'
import type { Route } from '../../table/route.ts'
import { ajv } from '../../table/schema/ajv.ts'
import { scanPlugins, type PluginFile } from './folder.ts'
import type { Instance } from './messages.ts'
import { loadMax, PluginThread } from './plugin-thread.ts'
import { PluginTally } from './tally.ts'

type Log = (level: 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void

/** A plugin in force. */
type Slot = {
  readonly name: string
  file: PluginFile
  thread: PluginThread
  validate: ValidateFunction
  /** `performance.now()` of when that was last begun. */
  since: number
  restarts: number
}

/** One plugin with the settings of one rule, whichever version of it is in force. */
export type PluginUse = Readonly<{
  name: string
  key: string
  /** Undefined where it is gone. */
  thread(): PluginThread | undefined
}>

export type Plugins = Readonly<{
  /** Why a rule cannot have this plugin with these settings; undefined: it can. */
  fault(name: string, config: unknown): string | undefined
  use(name: string, at: Readonly<{ route: string; rule: string; config: unknown }>): PluginUse
  /** Lets go of what a route has no more. */
  prune(route: string, next: Route | undefined): void
  tally: PluginTally
  /** Called when what `fault` says may have changed. */
  onChange(listener: () => void): void
  close(): Promise<void>
}>

/** Where there is no folder. */
export function noPlugins(): Plugins {
  return {
    fault: (name) => `there is no plugin ${JSON.stringify(name)}: the gateway has no --plugins`,
    use: (name) => ({ name, key: '', thread: () => undefined }),
    prune() {},
    tally: new PluginTally(),
    onChange() {},
    close: () => Promise.resolve(),
  }
}

export type PluginsOptions = Readonly<{
  folder: string
  log: Log
  /** Another process checks what rules ask for. */
  checked?: boolean
  /** Milliseconds between two looks at the folder. */
  every?: number
  /** For a module to be loaded, asked at each. Milliseconds. */
  patience?: () => number
}>

const restartMin = 100
const restartMax = 10_000
/** Milliseconds until a module that was not loaded in time is loaded again, twice as many each time: it may be the machine that is slow. */
const againMin = 1000
const againMax = 300_000
/** Milliseconds after which an end is a new trouble. */
const steadyAfter = 60_000

/**
 * Follows a folder of plugins. It polls: a mounted ConfigMap is behind two symbolic links that are swapped, which
 * watching misses. What cannot be used is told, and the last good version stays.
 */
export async function openPlugins({ folder, log, checked = false, every = 1000, patience = () => loadMax }: PluginsOptions): Promise<Plugins> {
  const slots = new Map<string, Slot>()
  /** What rules have, by the name of the plugin. */
  const instances = new Map<string, Map<string, Instance>>()
  /** By file: what was looked at last, and the plugin that it holds; how often it was late, and when it is loaded again. */
  const seen = new Map<string, { digest: string; name: string | undefined; late?: number; again?: number }>()
  const listeners: (() => void)[] = []
  const tally = new PluginTally()
  let folderFault: string | undefined
  let closed = false

  const all = (name: string): readonly Instance[] => [...instances.get(name)?.values() ?? []]

  async function look(): Promise<void> {
    let files: readonly PluginFile[]
    try {
      files = await scanPlugins(folder)
      folderFault = undefined
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      if (why !== folderFault) log('error', 'the folder of plugins cannot be read; those that were loaded stay', { folder, why })
      folderFault = why
      return
    }
    let changed = false
    for (const file of files) {
      const last = seen.get(file.file)
      const same = last?.digest === file.digest
      if (same && performance.now() < (last.again ?? Number.POSITIVE_INFINITY)) continue
      seen.set(file.file, { digest: file.digest, name: last?.name, late: same ? last.late ?? 0 : 0 })
      changed = await load(file) || changed
    }
    const left = new Set(files.map(({ file }) => file))
    for (const [file, { name }] of seen) {
      if (left.has(file)) continue
      seen.delete(file)
      changed = remove(file, name) || changed
    }
    if (changed && !closed) for (const listener of listeners) listener()
  }

  /** @returns whether it is in force */
  async function load(file: PluginFile): Promise<boolean> {
    const refuse = (why: string): false => {
      log('error', 'a plugin cannot be used; what was loaded before stays', { file: basename(file.file), why })
      return false
    }
    const thread = await open(file)
    if (thread === undefined) {
      const { name: held, late = 0 } = seen.get(file.file) ?? { name: undefined }
      const wait = Math.min(againMin * 2 ** late, againMax)
      seen.set(file.file, { digest: file.digest, name: held, late: late + 1, again: performance.now() + wait })
      return refuse(`it was not loaded in time, and is tried again in ${wait / 1000} s`)
    }
    if (typeof thread === 'string') return refuse(thread)
    const { name, schema } = thread.declared
    const slot = slots.get(name)
    const why = cannotReplace(slot, file) ?? compiled(schema)
    const validate = typeof why === 'string' ? undefined : why
    const misfit = validate && all(name).find(({ config }) => !validate(config))
    if (validate === undefined || misfit) {
      await thread.close()
      return refuse(typeof why === 'string' ? why : `the settings that ${misfit?.route} has for ${name} do not fit its new schema`)
    }
    seen.set(file.file, { digest: file.digest, name })
    for (const instance of all(name)) thread.build(instance)
    if (slot === undefined) slots.set(name, { name, file, thread, validate, since: performance.now(), restarts: 0 })
    else {
      const last = slot.thread
      Object.assign(slot, { file, thread, validate, since: performance.now(), restarts: 0 })
      retire(last)
    }
    log('info', 'a plugin is in force', { plugin: name, file: basename(file.file), digest: file.digest.slice(0, 12) })
    return true
  }

  const cannotReplace = (slot: Slot | undefined, { file }: PluginFile): string | undefined =>
    slot !== undefined && slot.file.file !== file && seen.has(slot.file.file) ? `${basename(slot.file.file)} has a plugin of that name already` : undefined

  function open(file: PluginFile): Promise<PluginThread | string | undefined> {
    let own: PluginThread | undefined
    return PluginThread.open({
      file: file.file,
      says: (line) => log('info', 'a plugin says', { plugin: own?.declared.name ?? basename(file.file), line }),
      ended(why) {
        const slot = own && slots.get(own.declared.name)
        if (slot !== undefined && slot.thread === own && !closed) restart(slot, why)
      },
    }, patience()).then((thread) => {
      if (typeof thread === 'object') own = thread
      return thread
    })
  }

  /** Its requests fail meanwhile. */
  function restart(slot: Slot, why: string): void {
    if (performance.now() - slot.since > steadyAfter) slot.restarts = 0
    const wait = Math.min(restartMin * 2 ** slot.restarts++, restartMax)
    log('error', 'a plugin ended and is started again', { plugin: slot.name, why, afterMs: wait })
    const ended = slot.thread
    setTimeout(() => {
      if (closed || slot.thread !== ended) return
      void open(slot.file).then((thread) => {
        if (thread === undefined || typeof thread === 'string') restart(slot, thread ?? 'it was not loaded in time')
        else if (closed || slot.thread !== ended) void thread.close()
        else {
          for (const instance of all(slot.name)) thread.build(instance)
          slot.thread = thread
          slot.since = performance.now()
        }
      })
    }, wait).unref()
  }

  function remove(file: string, name: string | undefined): boolean {
    const slot = name === undefined ? undefined : slots.get(name)
    if (slot === undefined || slot.file.file !== file) return false
    if (all(slot.name).length > 0) {
      log('warn', 'the file of a plugin is gone, and rules still use it; it stays as it was', { plugin: slot.name, file: basename(file) })
      return false
    }
    slots.delete(slot.name)
    retire(slot.thread)
    return true
  }

  await look()
  let looking = false
  const timer = setInterval(() => {
    if (looking) return
    looking = true
    void look().finally(() => { looking = false })
  }, every).unref()

  return {
    tally,
    fault(name, config) {
      if (checked) return undefined
      const slot = slots.get(name)
      if (slot === undefined) return `there is no plugin ${JSON.stringify(name)}; there are: ${[...slots.keys()].sort().join(', ') || 'none'}`
      return slot.validate(config) ? undefined : `the settings of ${name} do not fit its schema: ${faultsOf(slot.validate)}`
    },
    use(name, { route, rule, config }) {
      const key = JSON.stringify([route, rule, config])
      const known = instances.get(name) ?? new Map<string, Instance>()
      instances.set(name, known)
      if (!known.has(key)) {
        known.set(key, { key, route, rule, config })
        slots.get(name)?.thread.build({ key, route, rule, config })
      }
      return { name, key, thread: () => slots.get(name)?.thread }
    },
    prune(route, next) {
      const kept = new Set(next?.rules.flatMap((rule) => (rule.plugins ?? []).map(({ name, config }) => `${name} ${JSON.stringify([route, rule.name, config])}`)))
      for (const [name, known] of instances) {
        for (const [key, instance] of known) {
          if (instance.route !== route || kept.has(`${name} ${key}`)) continue
          known.delete(key)
          slots.get(name)?.thread.drop(key)
        }
        if (known.size === 0) instances.delete(name)
      }
    },
    onChange: (listener) => { listeners.push(listener) },
    async close() {
      closed = true
      clearInterval(timer)
      await Promise.all([...slots.values()].map(({ thread }) => thread.close()))
    },
  }
}

/** Milliseconds that what a replaced version has begun may take. */
const retireMax = 30_000

function retire(thread: PluginThread): void {
  const since = Date.now()
  const timer = setInterval(() => {
    if (thread.inFlight > 0 && Date.now() - since < retireMax) return
    clearInterval(timer)
    void thread.close()
  }, 1000).unref()
}

/** Or why it is none. */
function compiled(schema: Readonly<Record<string, unknown>>): ValidateFunction | string {
  try {
    return new (ajv().Ajv2020)({ strict: true, allErrors: false }).compile(schema)
  } catch (error) {
    return `its schema cannot be used: ${error instanceof Error ? error.message : String(error)}`
  }
}

function faultsOf({ errors }: ValidateFunction): string {
  return (errors ?? []).map(({ instancePath, message = '' }) => `config${instancePath} ${message}`).join('; ')
}
