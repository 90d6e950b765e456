import { Button } from "@mantine/core"
import { type ComponentType, createElement, type ReactNode, useEffect, useState } from "react"

/** A part of the client that is loaded when it is wanted. */
export type Part<Props> = ComponentType<Props & { whileLoading?: ReactNode }> & {
  /** Begins to load it, so that nobody waits for it later. */
  load: () => void
}

/**
 * Makes a part of what a module has. Where it can't be loaded the rest goes on. Browsers do not ask for a module again
 * that they did not get, so only loading the page again helps.
 */
export function part<Props extends object>(source: () => Promise<ComponentType<Props>>): Part<Props> {
  let loaded: ComponentType<Props> | undefined
  let loading: Promise<void> | undefined
  const load = () =>
    (loading ??= source().then((component) => {
      loaded = component
    }))
  function LoadedPart({ whileLoading, ...props }: Props & { whileLoading?: ReactNode }) {
    const [component, setComponent] = useState(() => loaded)
    const [hasFailed, setHasFailed] = useState(false)
    useEffect(() => {
      if (component) return
      let isWanted = true
      load().then(
        () => isWanted && setComponent(() => loaded),
        () => isWanted && setHasFailed(true),
      )
      return () => {
        isWanted = false
      }
    }, [component])
    if (component) return createElement(component, props as unknown as Props)
    return (
      <>
        {whileLoading}
        {hasFailed && (
          <div className="part-failed" role="alert">
            <p>This part of the chat can’t be loaded.</p>
            <Button size="xs" onClick={() => window.location.reload()}>
              Reload the page
            </Button>
          </div>
        )}
      </>
    )
  }
  return Object.assign(LoadedPart, { load: () => void load().catch(() => undefined) })
}
