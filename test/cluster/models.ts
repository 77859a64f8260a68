/** Two versions of the quickstart's model, each a Deployment and a Service. */
export function models(): object[] {
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ml' } },
    ...['1', '2'].flatMap((version) => {
      const labels = { app: `fraud-v${version}` }
      const program = "import { startModelServer } from '/app/examples/quickstart/server.ts'; " +
        `await startModelServer({ version: '${version}', port: 8000, host: '0.0.0.0' })`
      const container = {
        name: 'model', image: 'quickstart', command: ['node', '--input-type=module', '-e', program], ports: [{ containerPort: 8000 }],
        readinessProbe: { httpGet: { path: '/v2/health/ready', port: 8000 }, periodSeconds: 1 },
      }
      return [
        {
          apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: labels.app, namespace: 'ml' },
          spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [container], terminationGracePeriodSeconds: 1 } } },
        },
        {
          apiVersion: 'v1', kind: 'Service', metadata: { name: labels.app, namespace: 'ml' },
          spec: { selector: labels, ports: [{ name: 'http', port: 8000 }] },
        },
      ]
    }),
  ]
}
