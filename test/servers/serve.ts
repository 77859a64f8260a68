// `modelroute serve` as a process, over manifests of one's own, until the test ends.
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { adopt, temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'

type Line = Readonly<Record<string, string | number | undefined>>
export type Serving = Readonly<{ pid: number; /** With its manifests: an edit takes effect. */ file: string; urls: Readonly<Record<string, string>>; lines: readonly Line[]; stop(): Promise<number | null> }>

/** A route for everything below `path`, to the servers on these ports of loopback. */
export const backend = (name: string, ports: readonly number[], path: string) => `
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {ports: [{port: 8000}]}
---
${ports.map((port, n) => `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}-${n}, labels: {kubernetes.io/service-name: ${name}}}
addressType: IPv4
ports: [{port: ${port}}]
endpoints: [{addresses: [127.0.0.1]}]
---
`).join('')}apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: ${name}}
spec:
  rules:
  - name: all
    matches: [{path: {type: PathPrefix, value: ${path}}}]
    backendRefs: [{variant: only, name: ${name}, port: 8000}]
---
`

export async function startServe(manifests: string, ...args: string[]): Promise<Serving> {
  const file = join(temporaryFolder('serve'), 'all.yaml')
  writeFileSync(file, manifests)
  const bin = join(import.meta.dirname, '../../cli/modelroute.js')
  const ports = ['--host', '127.0.0.1', '--http-port', '0', '--admin-port', '0', '--control-port', '0']
  const child = spawn(process.execPath, [bin, 'serve', '-f', file, ...ports, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  adopt(child)
  const ended = new Promise<number | null>((resolve) => { child.once('exit', resolve) })
  const urls: Record<string, string> = {}
  const lines: Line[] = []
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = JSON.parse(text) as Line
    lines.push(line)
    if (line['msg'] === 'listening') urls[String(line['name'])] = String(line['url'])
  })
  await until('the gateway to be ready', async () => (await fetch(`${urls['admin']}/readyz`)).ok, { timeout: 120_000, every: 20 })
  await until('the public ports', () => Promise.resolve('http' in urls), { timeout: 120_000, every: 20 })
  return {
    pid: child.pid ?? 0,
    file,
    urls,
    lines,
    stop: () => {
      child.kill('SIGTERM')
      return ended
    },
  }
}
