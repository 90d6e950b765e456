import { type SlicesWithActions, useGraphiQL, useGraphiQLActions } from "@graphiql/react"
import { GraphiQL } from "graphiql"
import { useEffect, useRef, useState } from "react"
import type { Api } from "./api"
import { clientKey } from "../graphql/clientKey"
import { Memory } from "./memory"
import type { Tab } from "./operations"

interface WorkbenchProps {
  api: Api
  /** The tabs to begin with. */
  tabs: Tab[]
  /** Hears what became of them. */
  onTabs: (tabs: Tab[]) => void
}

/** GraphiQL with the story's tabs, and the schema beside them where there is room. */
export function Workbench({ api, tabs, onTabs }: WorkbenchProps) {
  const [storage] = useState(() => new Memory())
  const isOpen = useIsOpen()
  const [isWide] = useState(() => matchMedia("(min-width: 60rem)").matches)
  return (
    <GraphiQL
      fetcher={api.fetcher}
      storage={storage}
      defaultTabs={tabs}
      initialVariables={tabs[0]?.variables}
      onTabChange={({ tabs }) => {
        // Editors that are closed look empty for a moment longer.
        if (isOpen.current)
          onTabs(tabs.map(({ query, variables }) => ({ query: query ?? "", variables: variables ?? "" })))
      }}
      defaultEditorToolsVisibility="variables"
      // The token is the only header that the API asks for, and none of the editor's business.
      isHeadersEditorEnabled={false}
      shouldPersistHeaders={false}
      plugins={none}
      visiblePlugin={isWide ? "Documentation Explorer" : undefined}
    >
      <GraphiQL.Logo>{null}</GraphiQL.Logo>
      <Habits api={api} />
    </GraphiQL>
  )
}

const none: [] = []

function useIsOpen() {
  const isOpen = useRef(true)
  useEffect(() => {
    isOpen.current = true
    return () => {
      isOpen.current = false
    }
  }, [])
  return isOpen
}

/** What this explorer does that GraphiQL does not do by itself. */
function Habits({ api }: { api: Api }) {
  useLook()
  useSystemTheme()
  useFreshClientKeys(api)
  return null
}

/**
 * What the editors look like: a font that is there instead of one that would have to be loaded, long lines broken, and
 * letters of all scripts without a mark that they are unusual.
 */
function useLook() {
  const { queryEditor, variableEditor, responseEditor } = useGraphiQL(editors)
  useEffect(() => {
    const fontFamily = getComputedStyle(document.documentElement).getPropertyValue("--font-family-mono")
    for (const editor of [queryEditor, variableEditor, responseEditor]) {
      editor?.updateOptions({ fontFamily, fontSize: 13, wordWrap: "on", unicodeHighlight })
    }
  }, [queryEditor, variableEditor, responseEditor])
}

const editors = ({ queryEditor, variableEditor, responseEditor }: SlicesWithActions) => ({
  queryEditor,
  variableEditor,
  responseEditor,
})

const unicodeHighlight = { ambiguousCharacters: false, invisibleCharacters: false }

/** The editors turn dark and light with the system, also while they are open. */
function useSystemTheme() {
  const { setTheme } = useGraphiQLActions()
  const theme = useGraphiQL((state) => state.theme)
  useEffect(() => {
    if (theme) return // chosen in the settings
    const dark = matchMedia("(prefers-color-scheme: dark)")
    const follow = () => setTheme(null)
    dark.addEventListener("change", follow)
    return () => dark.removeEventListener("change", follow)
  }, [theme, setTheme])
}

/** Each run of a mutation is a new act: the client key it had is replaced, and undo brings it back. */
function useFreshClientKeys(api: Api) {
  const editor = useGraphiQL((state) => state.variableEditor)
  useEffect(() => {
    return api.onMutation(({ clientKey: used }) => {
      const model = editor?.getModel()
      if (!model || typeof used !== "string") return
      const places = model.findMatches(JSON.stringify(used), false, false, true, null, false)
      editor?.pushUndoStop()
      editor?.executeEdits(
        "fresh client key",
        places.map(({ range }) => ({ range, text: JSON.stringify(clientKey()) })),
      )
      editor?.pushUndoStop()
    })
  }, [api, editor])
}
