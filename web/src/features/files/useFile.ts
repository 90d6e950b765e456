import { useEffect, useState } from "react"
import { type Part, Unavailable, useFetchFile } from "./download"

export interface Fetched {
  /** An address for its bytes in memory, as long as the component lives. */
  address?: string
  /** How much is there, 0 to 1. */
  progress: number
  error?: Unavailable
}

/** Fetches a file, or the small picture of it, while it is wanted. */
export function useFile(id: string, part: Part, isWanted: boolean): Fetched & { again: () => void } {
  const fetchFile = useFetchFile()
  const [turn, setTurn] = useState(0)
  const [fetched, setFetched] = useState<Fetched>({ progress: 0 })
  useEffect(() => {
    if (!isWanted) return
    const stop = new AbortController()
    const { signal } = stop
    let address: string | undefined
    const onProgress = throttled((progress) => !signal.aborted && setFetched({ progress }))
    fetchFile(id, part, { signal, onProgress }).then(
      (bytes) => {
        if (signal.aborted) return
        address = URL.createObjectURL(bytes)
        setFetched({ address, progress: 1 })
      },
      (error: unknown) => {
        if (!signal.aborted && error instanceof Unavailable) setFetched({ error, progress: 0 })
      },
    )
    return () => {
      stop.abort()
      setFetched({ progress: 0 })
      if (address) URL.revokeObjectURL(address)
    }
  }, [fetchFile, id, part, isWanted, turn])
  return { ...fetched, again: () => setTurn((turn) => turn + 1) }
}

/** Hears of progress ten times a second at most. */
export function throttled(act: (progress: number) => void) {
  let last = 0
  return (progress: number) => {
    const now = performance.now()
    if (now - last < 100) return
    last = now
    act(progress)
  }
}
