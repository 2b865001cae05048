"""The steps. A step that was released is never changed; what it does is written out and imports no table of ours."""
