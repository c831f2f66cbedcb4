"""Values that the host reads later than a GPU computes them."""
import numpy

from mixnorm.compute.layout import get_array_module


class Later:

    """A value without axes, for the host to ask for later.

    From a GPU a copy sets out at once.  Asking for it waits for the work that
    was given to the GPU before it, not for all that was given since.

    Args:
        value (array): The value.

    """

    def __init__(self, value):
        xp = get_array_module(value)
        self._event = None
        self._value = value
        if xp is not numpy:
            import cupyx
            # To memory that a copy can go to while the host goes on.
            self._value = cupyx.empty_pinned(value.shape, value.dtype)
            with value.device:
                stream = xp.cuda.get_current_stream()
                xp.cuda.runtime.memcpyAsync(
                    self._value.ctypes.data, value.data.ptr, value.nbytes,
                    xp.cuda.runtime.memcpyDeviceToHost, stream.ptr)
                self._event = stream.record()

    def get(self):
        """Returns the value, a NumPy array or scalar, once it is there."""
        if self._event is not None:
            self._event.synchronize()
        return self._value

    def __reduce__(self):
        # An event cannot be copied.
        return Later, (numpy.array(self.get()),)
