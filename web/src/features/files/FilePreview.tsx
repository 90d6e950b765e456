import { Button, Group } from "@mantine/core"
import { type MouseEvent, type ReactNode, useLayoutEffect, useRef, useState } from "react"
import type { FileCardFragment } from "../../graphql/generated/graphql"
import { Dialog } from "../../ui/Dialog"
import { DownloadIcon } from "../../ui/icons"
import { kindOf } from "./kinds"
import { ProgressBar } from "./ProgressBar"
import { useFile } from "./useFile"

export interface FilePreviewProps {
  file: FileCardFragment
  onClose: () => void
  onDownload: () => void
}

/** Shows a picture, plays sound or a film, or hands a PDF to the browser's own reader. */
export function FilePreview({ file, onClose, onDownload }: FilePreviewProps) {
  const { id, name, mediaType } = file
  const { address, progress, error, again } = useFile(id, "download", true)
  const [cannotShow, setCannotShow] = useState(false)
  return (
    <Dialog opened onClose={onClose} title={name} size="min(92vw, 70rem)" withCloseButton>
      <div className="file-preview">
        {error ? (
          <p role="alert">{error.message}</p>
        ) : !address ? (
          <ProgressBar label={`Loading ${name}`} value={progress} />
        ) : cannotShow ? (
          <p role="alert">This file can't be shown here. Download it to open it.</p>
        ) : (
          shown(file, address, () => setCannotShow(true))
        )}
      </div>
      <Group justify="flex-end" gap="xs" mt="sm">
        {error && !error.isFinal && (
          <Button variant="light" onClick={again}>
            Try again
          </Button>
        )}
        {address && kindOf(mediaType) === "pdf" && (
          <Button className="file-new-tab" component="a" href={address} target="_blank" rel="noopener" data-autofocus>
            Open in a new tab
          </Button>
        )}
        {!error?.isFinal && (
          <Button variant="default" leftSection={<DownloadIcon size={16} />} onClick={onDownload}>
            Download
          </Button>
        )}
      </Group>
    </Dialog>
  )
}

function shown(file: FileCardFragment, address: string, onError: () => void): ReactNode {
  switch (kindOf(file.mediaType)) {
    case "picture":
      return <Zoomable file={file} address={address} onError={onError} />
    case "sound":
      return <audio src={address} controls autoPlay aria-label={file.name} onError={onError} />
    case "film":
      return <video src={address} controls autoPlay aria-label={file.name} onError={onError} />
    case "pdf":
      return <p>{file.pageCount === 1 ? "A PDF with 1 page." : `A PDF with ${file.pageCount ?? "its"} pages.`}</p>
    case "other":
      return null
  }
}

interface ZoomableProps {
  file: FileCardFragment
  address: string
  onError: () => void
}

/** A picture that fits, and in its own size at a click or key; then arrow keys move it. */
function Zoomable({ file: { name, width, height }, address, onError }: ZoomableProps) {
  const frame = useRef<HTMLDivElement>(null)
  const [isLarge, setIsLarge] = useState(false)
  const [place, setPlace] = useState({ x: 0.5, y: 0.5 })
  useLayoutEffect(() => {
    const element = frame.current
    if (!element || !isLarge) return
    element.scrollTo({
      left: element.scrollWidth * place.x - element.clientWidth / 2,
      top: element.scrollHeight * place.y - element.clientHeight / 2,
      behavior: "instant",
    })
  }, [isLarge, place])
  const toggle = ({ clientX, clientY, detail, currentTarget }: MouseEvent) => {
    const box = currentTarget.getBoundingClientRect()
    // A key has no place: the middle of the picture is looked at.
    const isKey = detail === 0
    setPlace(isKey ? { x: 0.5, y: 0.5 } : { x: (clientX - box.left) / box.width, y: (clientY - box.top) / box.height })
    setIsLarge(!isLarge)
  }
  return (
    <div ref={frame} className={`file-frame ${isLarge ? "large" : ""}`}>
      <button type="button" data-autofocus aria-label={isLarge ? "Zoom out" : "Zoom in"} onClick={toggle}>
        <img
          src={address}
          alt={name}
          width={width ?? undefined}
          height={height ?? undefined}
          draggable={false}
          onError={onError}
        />
      </button>
    </div>
  )
}
