import { type DragEvent, type ReactNode, useEffect, useRef, useState } from "react"

/** How long after the last sign of a drag it counts as over, in milliseconds: not every end of one is told. */
const patience = 1_000

export interface DropZoneProps {
  canDrop: boolean
  onFiles: (files: File[]) => void
  children: ReactNode
}

/** Takes files that are dropped on what is in it (S24). */
export function DropZone({ canDrop, onFiles, children }: DropZoneProps) {
  const [isOver, setIsOver] = useState(false)
  const depth = useRef(0) // enters and leaves are told for each element inside
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined)
  useEffect(() => () => clearTimeout(timer.current), [])
  const end = () => {
    depth.current = 0
    clearTimeout(timer.current)
    setIsOver(false)
  }
  const stay = () => {
    clearTimeout(timer.current)
    timer.current = setTimeout(end, patience)
  }
  return (
    <div
      className="drop-zone"
      onDragEnter={(event) => {
        if (!hasFiles(event)) return
        event.preventDefault()
        depth.current++
        stay()
        setIsOver(canDrop)
      }}
      onDragOver={(event) => {
        if (!hasFiles(event)) return
        event.preventDefault() // otherwise the browser leaves the page for the file
        event.dataTransfer.dropEffect = canDrop ? "copy" : "none"
        stay()
        setIsOver(canDrop)
      }}
      onDragLeave={(event) => {
        if (!hasFiles(event)) return
        depth.current--
        if (depth.current <= 0) end()
      }}
      onDrop={(event) => {
        if (!hasFiles(event)) return
        event.preventDefault()
        end()
        const files = Array.from(event.dataTransfer.files)
        if (canDrop && files.length > 0) onFiles(files)
      }}
    >
      {children}
      {isOver && canDrop && (
        <div className="drop-hint" aria-hidden="true">
          Drop files to send them
        </div>
      )}
    </div>
  )
}

const hasFiles = (event: DragEvent) => event.dataTransfer.types.includes("Files")

/** The files that are pasted. Where there is text as well, as from a spreadsheet that adds a picture of itself, that is meant. */
export function filesOf(pasted: DataTransfer): File[] {
  return pasted.types.includes("text/plain") ? [] : Array.from(pasted.files)
}
