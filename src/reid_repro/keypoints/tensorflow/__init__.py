"""TensorFlow checkpoints (format V2) without TensorFlow: numpy, and a CRC32C of every tensor.

`wire` decodes protocol buffers, `table` the sorted string table of the index file, `checkpoint`
the tensors. Nothing in a checkpoint is executed.
"""

from reid_repro.keypoints.tensorflow.checkpoint import Checkpoint, Entry, read_checkpoint

__all__ = ["Checkpoint", "Entry", "read_checkpoint"]
