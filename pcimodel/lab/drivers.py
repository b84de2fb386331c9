"""The drivers that scenarios load: what igb and igbvf do that matters here, in a few lines each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..err import PCI_ERS_RESULT_CAN_RECOVER, PCI_ERS_RESULT_NEED_RESET, PCI_ERS_RESULT_RECOVERED
from ..kernel import Kernel
from ..pci import PciDev, PciDriver, PciErrorHandlers, pci_channel_io_frozen

IGB = (0x8086, 0x10C9)
IGBVF = (0x8086, 0x1520)
NVME = (0x144D, 0xA808)


def igb(kernel: Kernel, max_vfs: int = 0, looks_around: bool = False,
        error_detected: Callable[[PciDev, int], int] | None = None) -> PciDriver:
    """Return a PF driver like igb.

    Its probe enables *max_vfs* VFs, as the module parameter does; if it *looks_around*, it reads
    the bus lists.
    """

    def igb_enable_sriov(pdev: PciDev, num_vfs: int) -> int:
        return kernel.pci_enable_sriov(pdev, num_vfs)

    def igb_probe(pdev: PciDev, id: Any) -> int:
        err = kernel.pci_enable_device(pdev)
        if err:
            return err
        kernel.pci_save_state(pdev)
        if looks_around:
            kernel.pci_dev_put(kernel.pci_get_slot(pdev.bus, pdev.devfn | 1))
        if max_vfs and pdev.is_physfn:
            # igb goes on without its VFs if it cannot have them.
            igb_enable_sriov(pdev, max_vfs)
        return 0

    def igb_remove(pdev: PciDev) -> None:
        if pdev.is_physfn:
            kernel.pci_disable_sriov(pdev)
        kernel.pci_disable_device(pdev)

    def igb_pci_sriov_configure(pdev: PciDev, num_vfs: int) -> int:
        if num_vfs == 0:
            kernel.pci_disable_sriov(pdev)
            return 0
        err = igb_enable_sriov(pdev, num_vfs)
        return err or num_vfs

    return PciDriver("igb", [IGB], probe=igb_probe, remove=igb_remove,
                     sriov_configure=igb_pci_sriov_configure,
                     err_handler=_handlers("igb", PCI_ERS_RESULT_CAN_RECOVER, error_detected))


def igbvf(kernel: Kernel) -> PciDriver:
    """Return a VF driver like igbvf, which asks for a reset after any error."""
    return _endpoint_driver(kernel, "igbvf", IGBVF, PCI_ERS_RESULT_NEED_RESET)


def nvme(kernel: Kernel) -> PciDriver:
    """Return the driver of a bystander."""
    return _endpoint_driver(kernel, "nvme", NVME, PCI_ERS_RESULT_CAN_RECOVER)


def _endpoint_driver(kernel: Kernel, name: str, id: tuple[int, int], vote: int) -> PciDriver:
    def probe(pdev: PciDev, id: Any) -> int:
        return kernel.pci_enable_device(pdev)

    def remove(pdev: PciDev) -> None:
        kernel.pci_disable_device(pdev)

    probe.__name__, remove.__name__ = f"{name}_probe", f"{name}_remove"
    return PciDriver(name, [id], probe=probe, remove=remove, err_handler=_handlers(name, vote))


def _handlers(name: str, vote: int,
              error_detected: Callable[[PciDev, int], int] | None = None) -> PciErrorHandlers:
    """Return error handlers that vote *vote* while the channel works, and for a reset when it is
    frozen.
    """

    def io_error_detected(pdev: PciDev, state: int) -> int:
        return PCI_ERS_RESULT_NEED_RESET if state == pci_channel_io_frozen else vote

    def io_ok(pdev: PciDev) -> int:
        return PCI_ERS_RESULT_RECOVERED

    def io_resume(pdev: PciDev) -> None:
        return None

    return PciErrorHandlers(error_detected or io_error_detected, io_ok, io_ok, io_resume)
