export default () => 'About overlays';
