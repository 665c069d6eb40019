"""Pictures drawn for tests, with the truth about what is on them; the same arguments give the same pixels."""

from tests.drawings.cars import Car
from tests.drawings.files import save_jpeg
from tests.drawings.scene import Box, Drawing
from tests.drawings.streets import PLACES, street
from tests.drawings.walls import Crack, wall

__all__ = ["PLACES", "Box", "Car", "Crack", "Drawing", "save_jpeg", "street", "wall"]
