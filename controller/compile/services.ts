import type { Service } from '../sources/snapshot.ts'

export function tcp(port: Readonly<{ protocol?: string }>): boolean {
  return (port.protocol ?? 'TCP') === 'TCP'
}

/** None of a headless Service, nor of one that has no address yet. */
export function clusterIP(service: Service): string | undefined {
  const address = service.spec.clusterIP
  return address && address !== 'None' ? address : undefined
}
