import { createContext, use } from "react"

/** The element that is above everything else inside the shadow root. */
export const LayerContext = createContext<HTMLElement | null>(null)

export function useLayer() {
  return use(LayerContext)
}
