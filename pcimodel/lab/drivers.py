"""The drivers that scenarios load: what igb and igbvf do that matters here, in a few lines each.

They note in a journal what the kernel asks of them, and what comes of what they ask of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..err import PCI_ERS_RESULT_CAN_RECOVER, PCI_ERS_RESULT_NEED_RESET, PCI_ERS_RESULT_RECOVERED
from ..kernel import Kernel
from ..pci import PciDev, PciDriver, PciErrorHandlers, pci_channel_io_frozen
from .journal import Journal

IGB = (0x8086, 0x10C9)
IGBVF = (0x8086, 0x1520)
NVME = (0x144D, 0xA808)


def igb(kernel: Kernel, max_vfs: int = 0, looks_around: bool = False,
        looks_up: Callable[[PciDev], object] | None = None,
        journal: Journal | None = None) -> PciDriver:
    """Return a PF driver like igb.

    Its probe enables *max_vfs* VFs, as the module parameter does; if it *looks_around*, it reads
    the bus lists. When it is told of an error it *looks_up* something, if that is given.
    """
    notes = Journal() if journal is None else journal

    def igb_enable_sriov(pdev: PciDev, num_vfs: int) -> int:
        err = kernel.pci_enable_sriov(pdev, num_vfs)
        notes.note("enable", pdev, (num_vfs, err))
        return err

    def igb_probe(pdev: PciDev, id: Any) -> int:
        err = kernel.pci_enable_device(pdev)
        if err:
            notes.note("probe", pdev, err)
            return err
        kernel.pci_save_state(pdev)
        if looks_around:
            kernel.pci_dev_put(kernel.pci_get_slot(pdev.bus, pdev.devfn | 1))
        if max_vfs and pdev.is_physfn:
            # igb goes on without its VFs if it cannot have them.
            igb_enable_sriov(pdev, max_vfs)
        notes.note("probe", pdev, 0)
        return 0

    def igb_remove(pdev: PciDev) -> None:
        notes.note("remove", pdev)
        if pdev.is_physfn:
            kernel.pci_disable_sriov(pdev)
        kernel.pci_disable_device(pdev)

    def igb_pci_sriov_configure(pdev: PciDev, num_vfs: int) -> int:
        if num_vfs == 0:
            kernel.pci_disable_sriov(pdev)
            return 0
        err = igb_enable_sriov(pdev, num_vfs)
        return err or num_vfs

    def igb_io_error_detected(pdev: PciDev, state: int) -> int:
        if looks_up is not None:
            looks_up(pdev)
        vote = _vote(state, PCI_ERS_RESULT_CAN_RECOVER)
        notes.note("error_detected", pdev, (state, vote))
        return vote

    return PciDriver("igb", [IGB], probe=igb_probe, remove=igb_remove,
                     sriov_configure=igb_pci_sriov_configure,
                     err_handler=_handlers(igb_io_error_detected, notes))


def igbvf(kernel: Kernel, journal: Journal | None = None) -> PciDriver:
    """Return a VF driver like igbvf, which asks for a reset after any error."""
    return _endpoint_driver(kernel, "igbvf", IGBVF, PCI_ERS_RESULT_NEED_RESET, journal)


def nvme(kernel: Kernel, journal: Journal | None = None) -> PciDriver:
    """Return the driver of a bystander."""
    return _endpoint_driver(kernel, "nvme", NVME, PCI_ERS_RESULT_CAN_RECOVER, journal)


def _endpoint_driver(kernel: Kernel, name: str, id: tuple[int, int], vote: int,
                     journal: Journal | None) -> PciDriver:
    notes = Journal() if journal is None else journal

    def probe(pdev: PciDev, id: Any) -> int:
        err = kernel.pci_enable_device(pdev)
        notes.note("probe", pdev, err)
        return err

    def remove(pdev: PciDev) -> None:
        notes.note("remove", pdev)
        kernel.pci_disable_device(pdev)

    def io_error_detected(pdev: PciDev, state: int) -> int:
        mine = _vote(state, vote)
        notes.note("error_detected", pdev, (state, mine))
        return mine

    probe.__name__, remove.__name__ = f"{name}_probe", f"{name}_remove"
    return PciDriver(name, [id], probe=probe, remove=remove,
                     err_handler=_handlers(io_error_detected, notes))


def _vote(state: int, vote: int) -> int:
    """Return the answer of a driver that votes *vote* while the channel works, and for a reset when
    it is frozen.
    """
    return PCI_ERS_RESULT_NEED_RESET if state == pci_channel_io_frozen else vote


def _handlers(error_detected: Callable[[PciDev, int], int], notes: Journal) -> PciErrorHandlers:
    """Return error handlers that are content with whatever comes after *error_detected*."""

    def io_mmio_enabled(pdev: PciDev) -> int:
        notes.note("mmio_enabled", pdev)
        return PCI_ERS_RESULT_RECOVERED

    def io_slot_reset(pdev: PciDev) -> int:
        notes.note("slot_reset", pdev)
        return PCI_ERS_RESULT_RECOVERED

    def io_resume(pdev: PciDev) -> None:
        notes.note("resume", pdev)

    return PciErrorHandlers(error_detected, io_mmio_enabled, io_slot_reset, io_resume)
