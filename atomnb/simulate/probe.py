"""The convolution model: an image as the atoms' scattering power blurred by the true probe, thousands of times faster.

For incoherent imaging (HAADF of thin specimens) the image is |ψ|² ⊗ O, with ψ the probe and O a peak at each atom. The
image holds no frequency above twice the aperture, so it is summed there: few numbers, exact sub-pixel positions.
The strengths and widths of the peaks come from `atomnb.simulate.probe_scattering`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from atomnb.errors import AtomnbError
from atomnb.simulate.optics import Optics, aberration_phase

FWHM_PER_SIGMA = 2.3548200450309493


class Transfer(NamedTuple):
    """What the microscope does to each frequency of a periodic field.

    values : (B, 2 Ky + 1, Kx + 1) complex, one microscope each; 1 at frequency 0
    ky : (2 Ky + 1,) 1/Å, ascending from -Ky / height
    kx : (Kx + 1,) 1/Å, ascending from 0
    """

    values: torch.Tensor
    ky: torch.Tensor
    kx: torch.Tensor


def probe_transfer(optics: Optics | list[Optics], extent_yx: tuple[float, float], *, device: str = "cpu") -> Transfer:
    """Fourier transform of the probe's intensity |ψ|², blurred by the source, of one or many microscopes.

    Parameters
    ----------
    optics : Optics, or a list of B
    extent_yx : (height, width) of the field in Å; the probe must be narrower than half of it
    device : of the tensors returned
    """
    many = [optics] if isinstance(optics, Optics) else list(optics)
    band = max(one.band_limit for one in many)
    reach = [max(1, math.floor(band * length)) for length in extent_yx]
    values = np.stack([_one_transfer(one, extent_yx, reach) for one in many])
    axes = (np.arange(-reach[0], reach[0] + 1) / extent_yx[0], np.arange(reach[1] + 1) / extent_yx[1])
    ky, kx = (torch.as_tensor(axis, dtype=torch.float32, device=device) for axis in axes)
    return Transfer(torch.as_tensor(values, dtype=torch.complex64, device=device), ky, kx)


def render_convolution(
    positions_yx: torch.Tensor,
    strength: torch.Tensor,
    width: torch.Tensor,
    transfer: Transfer,
    *,
    shape: tuple[int, int],
    pixel_size: float,
) -> torch.Tensor:
    """Images of atoms or columns through the microscopes of `transfer`.

    Parameters
    ----------
    positions_yx : (B, N, 2) Å from the centre of the first pixel
    strength : (B, N) scattering power: the integral of each peak, Å² × share of the beam; 0 for padding
    width : (B, N) standard deviation of each peak (thermal motion and the atom's own), Å
    transfer : from `probe_transfer`, B microscopes or 1; the field it was made for repeats
    shape : (H, W) px
    pixel_size : Å

    Returns
    -------
    (B, H, W) share of the beam scattered to the detector
    """
    if not positions_yx.shape[:2] == strength.shape == width.shape:
        raise AtomnbError(
            f"positions_yx (B, N, 2), strength (B, N) and width (B, N) must agree, got {tuple(positions_yx.shape)}, "
            f"{tuple(strength.shape)} and {tuple(width.shape)}."
        )
    rows = _waves(transfer.ky, positions_yx[..., 0], width)
    columns = _waves(transfer.kx, positions_yx[..., 1], width)
    spectrum = torch.bmm(rows.transpose(1, 2), columns * strength[..., None]) * transfer.values
    return synthesize(spectrum, transfer, shape=shape, pixel_size=pixel_size)


def synthesize(
    spectrum: torch.Tensor, transfer: Transfer, *, shape: tuple[int, int], pixel_size: float
) -> torch.Tensor:
    """The real image (B, H, W) of a spectrum (B, 2 Ky + 1, Kx + 1), on any pixels."""
    area = (transfer.ky[1] - transfer.ky[0]) * (transfer.kx[1] - transfer.kx[0])
    rows = _sampled(transfer.ky, shape[0], pixel_size)
    columns = _sampled(transfer.kx, shape[1], pixel_size)
    columns = columns * torch.where(transfer.kx > 0, 2.0, 1.0)[:, None]  # the half plane that is left out
    partial = rows.T @ spectrum
    # only the real part is wanted: half of the last, largest product
    return area * (partial.real @ columns.real - partial.imag @ columns.imag)


def probe_image(optics: Optics, *, shape: tuple[int, int], pixel_size: float) -> np.ndarray:
    """The probe's intensity as it falls on the specimen, centred on pixel (H // 2, W // 2); its sum × px² is 1.

    Parameters
    ----------
    optics : Optics
    shape : (H, W) px
    pixel_size : Å
    """
    extent = (shape[0] * pixel_size, shape[1] * pixel_size)
    centre = torch.tensor([[[(shape[0] // 2) * pixel_size, (shape[1] // 2) * pixel_size]]])
    one = torch.ones(1, 1)
    image = render_convolution(centre, one, 0 * one, probe_transfer(optics, extent), shape=shape, pixel_size=pixel_size)
    return image[0].numpy()


def _one_transfer(optics: Optics, extent_yx, reach) -> np.ndarray:
    """(2 Ky + 1, Kx + 1) complex: autocorrelation of the aperture with its aberrations, times the source's."""
    sides = [2 * r + 2 for r in reach]
    frequency = [np.fft.fftfreq(n, 1 / n) / length for n, length in zip(sides, extent_yx, strict=True)]
    ky, kx = np.meshgrid(*frequency, indexing="ij")
    inside = np.hypot(ky, kx) <= 0.5 * optics.band_limit
    wave = np.fft.ifft2(np.where(inside, np.exp(-1j * aberration_phase(optics, ky, kx)), 0))
    transfer = np.fft.fft2(np.abs(wave) ** 2)
    sigma = optics.source_fwhm_angstrom / FWHM_PER_SIGMA
    transfer = transfer / transfer[0, 0].real * np.exp(-2 * (np.pi * sigma) ** 2 * (ky**2 + kx**2))
    rows = np.arange(-reach[0], reach[0] + 1) % sides[0]
    return transfer[rows][:, : reach[1] + 1]


def _waves(k: torch.Tensor, positions: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    """(B, N, K) plane waves of the atoms along one axis, damped by their widths."""
    phase = -2 * math.pi * positions[..., None] * k
    return torch.polar(torch.exp(-2 * (math.pi * width[..., None] * k) ** 2), phase)


def _sampled(k: torch.Tensor, size: int, pixel_size: float) -> torch.Tensor:
    """(K, size) plane waves at the pixels along one axis."""
    x = torch.arange(size, device=k.device, dtype=k.dtype) * pixel_size
    return torch.polar(torch.ones_like(k)[:, None].expand(-1, size).contiguous(), 2 * math.pi * k[:, None] * x)
