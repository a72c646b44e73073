"""The errors and warnings atomnb raises on purpose; each message says what to do."""


class AtomnbError(ValueError):
    """Base class: the input cannot be used as it is. `str(error)` says what was expected and what to do."""


class ImageError(AtomnbError):
    """The array is not a usable image (shape, NaN, constant, complex, too small)."""


class FileFormatError(AtomnbError):
    """The file cannot be read as a microscope image (truncated, empty, unsafe, spectra only)."""


class CalibrationError(AtomnbError):
    """A length was needed and there is none, or the lengths at hand contradict one another."""


class ModelError(AtomnbError):
    """A model or its weights cannot be used (unknown name, other version, damaged file)."""


class MissingPackageError(ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class CancelledError(RuntimeError):
    """A long computation was stopped by its progress callback."""


class AtomnbWarning(UserWarning):
    """Base class of the warnings below."""


class CalibrationWarning(AtomnbWarning):
    """The pixel size is missing, lacks a unit, or disagrees with the lattice in the image."""


class RangeWarning(AtomnbWarning):
    """The image lies outside the range in which the model was tested."""
