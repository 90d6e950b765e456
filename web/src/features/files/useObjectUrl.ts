import { useEffect, useState } from "react"

/** An address for bytes in memory, as long as the component lives. */
export function useObjectUrl(bytes: Blob | undefined) {
  const [address, setAddress] = useState<string>()
  useEffect(() => {
    if (!bytes) return
    const made = URL.createObjectURL(bytes)
    setAddress(made)
    return () => {
      setAddress(undefined)
      URL.revokeObjectURL(made)
    }
  }, [bytes])
  return address
}
