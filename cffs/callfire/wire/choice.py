"""Which wire: the one place that knows both. `callfire/transport` asks it with the setting `wire`."""

from cffs.callfire.wire.own import own_wires
from cffs.callfire.wire.seam import WireMaker
from cffs.callfire.wire.stock import stock_wires

WIRES: dict[str, WireMaker] = {"own": own_wires, "stock": stock_wires}
