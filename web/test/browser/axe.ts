import { readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import type { Page } from "playwright-core"

const source = readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

interface Violation {
  id: string
  impact: string | null
  help: string
  nodes: { html: string; failureSummary?: string }[]
}

/** What is a serious or critical barrier by WCAG 2.2 AA in the chat, as axe-core finds it: it looks into shadow roots. */
export async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(await source)
  const violations = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run: (context: string, options: object) => Promise<{ violations: Violation[] }> }
    }
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    return (await axe.run("corridor-chat", { runOnly: { type: "tag", values: tags } })).violations
  })
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, help, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${help}: ${html} ${failureSummary ?? ""}`),
    )
}
